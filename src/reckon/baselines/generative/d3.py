"""D3: beam search over the titles of the catalog with debiased, diversified decoding.

Entry point: `D3`. The language model is that of BIGRec; the decoding differs:

- Debiasing. Ghost tokens are tokens that are nearly certain given the title's beginning; dividing a score by the length
  favours titles with many of them. D3 does not divide by the length. Departure from the paper: probabilities are
  renormalised over the tokens that continue to an item (the paper masks the other tokens without renormalising), so a
  token without alternatives has probability exactly 1.
- Diversifying. An assistant model without text adds its opinion at every branching: q(t | h) is its probability of the
  items below token t among the items below prefix h. S(h, t) = S(h) + alpha log p(t | h) + (1 - alpha) log q(t | h).

Source: Bao et al. 2024, Decoding Matters (arXiv 2406.14900) section 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor

from reckon.baselines.baseline import Baseline, Fitting
from reckon.baselines.generative.beam_baseline import BeamBaseline
from reckon.baselines.generative.title_writer import WRITER_SEARCH, TitleWriter, WriterConfig
from reckon.baselines.generative.token_trie import NextLogits, Prior, TokenTrie
from reckon.baselines.scorers import SCORERS
from reckon.data import Catalog, Dataset
from reckon.data.examples import IntArray
from reckon.errors import ConfigError

NONE = "none"
ASSISTANT_FOLDER = "assistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class D3Config(WriterConfig):
    """Settings of `d3`."""

    assistant: str = "sasrec"
    """Ranking baseline that assists, with its default settings; `none`: no assistant."""

    assistant_weight: float = 0.5
    """Weight of the assistant at every branching (1 - alpha), in [0, 1]."""

    beam: int = 20
    """Beam width, in partial titles per user, >= 1; a target outside the beam is a miss."""

    def __post_init__(self) -> None:
        WriterConfig.__post_init__(self)  # super() does not work in a dataclass with slots
        if not 0 <= self.assistant_weight <= 1:
            raise ConfigError("assistant_weight", self.assistant_weight, "must lie in [0, 1]", "use 0.5")
        if self.beam < 1:
            raise ConfigError("beam", self.beam, "must be at least 1", "use 20")
        if self.assistant != NONE:
            _baseline(self.assistant)


class D3(BeamBaseline):
    """Decodes the title of a catalog item with an assistant model."""

    NAME = "d3"
    CONFIG = D3Config
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {**WRITER_SEARCH, "assistant_weight": (0.3, 0.5, 0.7)}

    def __init__(
        self, catalog: Catalog, config: D3Config, exclude_seen: bool, writer: TitleWriter, assistant: Baseline | None
    ) -> None:
        """`assistant` is a fitted baseline; the softmax of its scores over the catalog is q."""
        vocabulary = writer.backbone.causal_lm.get_output_embeddings().weight.shape[0]
        super().__init__(catalog, config, exclude_seen, TokenTrie.of(writer.title_tokens), vocabulary)
        self.writer, self.assistant = writer, assistant

    @classmethod
    def learn(cls, dataset: Dataset, config: Any, fitting: Fitting) -> Self:
        kind = None if config.assistant == NONE else _baseline(config.assistant)
        writer = TitleWriter.fit(dataset, config, fitting.seed, fitting.on_progress)
        assistant = None if kind is None else kind.fit(dataset, exclude_seen=fitting.exclude_seen, seed=fitting.seed)
        return cls(dataset.catalog, config, fitting.exclude_seen, writer, assistant)

    def reader(self, histories: Sequence[IntArray]) -> NextLogits:
        return self.writer.reader(histories)

    def prior(self, histories: Sequence[IntArray]) -> Prior | None:
        if self.assistant is None or self.config.assistant_weight == 0:
            return None
        probabilities = self.assistant.scores(histories).double().softmax(dim=1)  # [n, I]
        return Prior(probabilities, self.config.assistant_weight)

    def tensors(self) -> dict[str, Tensor]:
        return {}

    @property
    def numbers_learned(self) -> int:
        return self.writer.numbers_learned + (0 if self.assistant is None else self.assistant.numbers_learned)

    @classmethod
    def from_tensors(
        cls,
        catalog: Catalog,
        config: Any,
        exclude_seen: bool,
        tensors: dict[str, Tensor],
        writer: TitleWriter | None = None,
        assistant: Baseline | None = None,
    ) -> Self:
        assert writer is not None  # from `load_parts`
        return cls(catalog, config, exclude_seen, writer, assistant)

    def save_parts(self, folder: Path) -> None:
        self.writer.save(folder)
        if self.assistant is not None:
            self.assistant.save_pretrained(folder / ASSISTANT_FOLDER)

    @classmethod
    def load_parts(cls, folder: Path, catalog: Catalog, config: Any) -> dict[str, Any]:
        parts: dict[str, Any] = {"writer": TitleWriter.load(folder, catalog.titles, config)}
        if config.assistant != NONE:
            parts["assistant"] = _baseline(config.assistant).from_pretrained(folder / ASSISTANT_FOLDER, catalog)
        return parts


def _baseline(name: str) -> type[Baseline]:
    if name not in SCORERS:
        fix = f"use {NONE}, or one of {', '.join(sorted(SCORERS))}"
        raise ConfigError("assistant", name, "is no ranking baseline with scores for all items", fix)
    return SCORERS[name]
