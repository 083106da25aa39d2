"""R2ec: one language model with two heads, trained by RecPO."""

from reckon.methods.r2ec.trainer import R2ec

__all__ = ["R2ec"]
