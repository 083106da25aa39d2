"""The Rechead: a user vector from three texts, the history, the reasoning and the guessed item.

Entry point: `Rechead`. It reads vectors of a frozen sentence encoder, not text, so texts are encoded once.

    r_x, r_y, r_z   the three vectors, each through a feed-forward block of its own
    r_sel           r_z where the reply parses, else r_x
    r_rea           TransformerEncoder([r_x; r_y; r_sel]) at r_sel's place
    h_u             r_sel + g0 * r_rea,  g0 = gamma * sigmoid(f_gate([r_sel || r_rea]) - 0.5)

s(u, v) is the product of h_u with the item's vector by the same sentence encoder, computed once. The three texts of one
user attend to each other; users of a batch never do (a public release stacks them so that they do).

Source: RPORec (arXiv 2605.21967), the Rechead.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from reckon.errors import ConfigError, ShapeError

Gate = Literal["soft", "none", "cot-only"]
TEXTS = ("history", "reasoning", "answer")  # x, y, z: the order everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class RecheadShape:
    """Size and wiring of a Rechead."""

    gate: Gate = "soft"
    """`soft` as in the paper; `none`: h_u = r_sel + r_rea; `cot-only`: h_u = r_rea, without the plain selection."""

    gamma: float = 0.1
    """The most the soft gate lets through, > 0."""

    layers: int = 1
    """Layers of the Transformer encoder, >= 1."""

    heads: int = 4
    """Attention heads, a divisor of the width."""

    hidden: int = 512
    """Width of the feed-forward blocks, >= 1."""

    dropout: float = 0.1
    """In the blocks and the Transformer encoder, in [0, 1)."""

    def __post_init__(self) -> None:
        for name in ("layers", "heads", "hidden"):
            if getattr(self, name) < 1:
                raise ConfigError(f"rechead.{name}", getattr(self, name), "must be at least 1", "use the default")
        if self.gamma <= 0:
            raise ConfigError("rechead.gamma", self.gamma, "must be positive", "use 0.1")
        if not 0 <= self.dropout < 1:
            raise ConfigError("rechead.dropout", self.dropout, "must lie in [0, 1)", "use 0.1")


class FeedForward(nn.Module):
    """One text's block. Its last layer starts at zero, so that an untrained one hands the sentence vector through."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
        for parameter in self.net[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors + self.net(vectors)


class Rechead(nn.Module):
    """Three sentence vectors of each user to one user vector."""

    def __init__(self, width: int, shape: RecheadShape) -> None:
        super().__init__()
        if width % shape.heads:
            raise ConfigError("rechead.heads", shape.heads, f"must divide the encoder's width {width}", "use 4")
        self.width, self.shape = width, shape
        self.blocks = nn.ModuleList(FeedForward(width, shape.hidden, shape.dropout) for _ in TEXTS)
        layer = nn.TransformerEncoderLayer(width, shape.heads, shape.hidden, shape.dropout, batch_first=True)
        self.reason = nn.TransformerEncoder(layer, shape.layers, enable_nested_tensor=False)
        self.gate = nn.Linear(2 * width, 1)

    def forward(self, texts: Tensor, parsed: Tensor) -> Tensor:
        """User vectors h_u: [n, D].

        Args:
            texts: [n, 3, D] sentence vectors of history, reasoning and answer.
            parsed: [n] True where the reply has the right form. Elsewhere only the history is read: the paper lets it
                stand in for the answer, and what a broken reply holds as reasoning is anybody's guess.

        Raises:
            ShapeError: the shapes do not fit.
        """
        if texts.ndim != 3 or texts.shape[1:] != (len(TEXTS), self.width) or parsed.shape != texts.shape[:1]:
            raise ShapeError("texts", tuple(texts.shape), f"[n, {len(TEXTS)}, {self.width}] beside parsed [n]")
        r_x, r_y, r_z = (block(texts[:, place]) for place, block in enumerate(self.blocks))  # [n, D] each
        r_sel = torch.where(parsed[:, None], r_z, r_x)
        absent = torch.zeros(len(texts), len(TEXTS), dtype=torch.bool, device=texts.device)
        absent[:, 1] = ~parsed
        together = torch.stack([r_x, r_y, r_sel], dim=1)  # [n, 3, D]: a user is a row, its texts the sequence
        r_rea = self.reason(together, src_key_padding_mask=absent)[:, 2]
        match self.shape.gate:
            case "cot-only":
                return r_rea
            case "none":
                return r_sel + r_rea
            case "soft":
                gate = torch.sigmoid(self.gate(torch.cat([r_sel, r_rea], dim=1)) - 0.5)  # [n, 1]
                return r_sel + self.shape.gamma * gate * r_rea
        raise ConfigError("rechead.gate", self.shape.gate, "is unknown", "use soft, none or cot-only")
