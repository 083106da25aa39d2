"""RPORec: a language model that reasons in text, and a Rechead that retrieves by what it wrote."""

from reckon.methods.rporec.rounds import RPORec

__all__ = ["RPORec"]
