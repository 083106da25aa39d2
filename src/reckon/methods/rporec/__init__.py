"""RPORec: a language model that reasons in text, and a Rechead that ranks by the text."""

from reckon.methods.rporec.rounds import RPORec

__all__ = ["RPORec"]
