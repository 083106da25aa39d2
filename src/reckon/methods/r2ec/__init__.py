"""R2ec: one language model with two heads, trained by RecPO."""

from typing import TYPE_CHECKING

from reckon.methods.method import on_first_use

if TYPE_CHECKING:
    from reckon.methods.r2ec.trainer import R2ec

__all__ = ["R2ec"]
__getattr__ = on_first_use(__name__, R2ec="reckon.methods.r2ec.trainer:R2ec")
