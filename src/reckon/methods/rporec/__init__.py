"""RPORec: a language model that reasons in text, and a Rechead that ranks by the text."""

from typing import TYPE_CHECKING

from reckon.methods.method import on_first_use

if TYPE_CHECKING:
    from reckon.methods.rporec.rounds import RPORec

__all__ = ["RPORec"]
__getattr__ = on_first_use(__name__, RPORec="reckon.methods.rporec.rounds:RPORec")
