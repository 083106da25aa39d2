"""RecZero: rating prediction by reinforcement alone."""

from typing import TYPE_CHECKING

from reckon.methods.method import on_first_use

if TYPE_CHECKING:
    from reckon.methods.reczero.trainer import RecZero

__all__ = ["RecZero"]
__getattr__ = on_first_use(__name__, RecZero="reckon.methods.reczero.trainer:RecZero")
