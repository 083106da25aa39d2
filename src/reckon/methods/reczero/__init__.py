"""RecZero: rating prediction by reinforcement alone."""

from reckon.methods.reczero.trainer import RecZero

__all__ = ["RecZero"]
