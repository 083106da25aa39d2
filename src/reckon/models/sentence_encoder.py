"""Texts to vectors: the frozen sentence encoder under the Rechead.

Entry points: `new_encoder` by name, `load_encoder` for a saved one. `StaticEncoder` needs no download and no extra: it
is made of the data set's own text. Anything else is a model of sentence-transformers (`pip install
'reckon-recsys[encoders]'`), by hub id or folder. Vectors have length 1; a text without a word is the zero vector.

The same encoder reads items, histories, reasoning and answers, so before any training an answer already lies near the
items that it names.

Source: RPORec (arXiv 2605.21967), f_item, f_his, f_cot and f_ans before their feed-forward blocks.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from reckon.data.examples import FloatArray
from reckon.errors import CheckpointError, ConfigError, DataError, MissingExtraError
from reckon.files import write_text
from reckon.json_file import COPY_AGAIN, Each, read_json
from reckon.models.hub import check_hub_id
from reckon.models.model_files import check_model, library_errors, weights_fingerprint

STATIC = "static"
STATIC_WIDTH, STATIC_HALF_LIFE = 256, 20.0  # defaults of `StaticEncoder`
STATIC_SHAPE = {"width": int, "half_life": float, "documents": int, "counts": Each(int)}
STATIC_FILE, LIBRARY_FOLDER = "static_encoder.json", "sentence_transformer"
EXTRA = "encoders"
ORGANISATION = "sentence-transformers"  # of encoders that are named without one
# Scripts that put no space between words are read letter by letter.
UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")


class SentenceEncoder(Protocol):
    """Texts to vectors of one width."""

    @property
    def width(self) -> int:
        """D."""

    @property
    def fingerprint(self) -> str:
        """12 hex digits that tell encoders apart."""

    def encode(self, texts: Sequence[str]) -> Tensor:
        """[n, D] float32 on the CPU, rows of length 1, zero where a text holds no word; no gradient."""

    def save(self, folder: Path) -> None:
        """Write what `load_encoder` reads."""


class StaticEncoder:
    """A bag of word vectors, weighted by rarity in the catalog and by nearness to the end of the text.

    Each word has a fixed direction of signs that follows from its letters alone, so no word is unknown, nothing must be
    learned, and products of vectors approximate those of TF-IDF (random projection). Words that mean the same but
    share no letters are told apart; what they have in common is for the Rechead to learn.
    """

    def __init__(self, width: int, half_life: float, documents: int, counts: dict[str, int]) -> None:
        """
        Args:
            width: D, a positive multiple of 8.
            half_life: words after which a word counts half, > 0: of a history the latest titles count most.
            documents: how many texts were counted.
            counts: in how many of them each word is.
        """
        if width < 8 or width % 8:
            raise ConfigError("rechead.width", width, "must be a positive multiple of 8", "use 256")
        if half_life <= 0:
            raise ConfigError("rechead.half_life", half_life, "must be positive", "use 20")
        self._width, self.half_life, self.documents, self.counts = width, half_life, documents, counts

    @classmethod
    def of_texts(
        cls, documents: Sequence[str], width: int = STATIC_WIDTH, half_life: float = STATIC_HALF_LIFE
    ) -> "StaticEncoder":
        """An encoder whose word weights come from these texts, one per item. Raises DataError without any."""
        if not documents:
            raise DataError("documents", "there are none, so words have no weights", "give at least one item text")
        counts = Counter(word for document in documents for word in set(words_of(document)))
        return cls(width, half_life, len(documents), dict(sorted(counts.items())))

    @property
    def width(self) -> int:
        return self._width

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(self._record).encode()).hexdigest()[:12]

    def encode(self, texts: Sequence[str]) -> Tensor:
        lists = [words_of(text) for text in texts]
        number = {word: n for n, word in enumerate(dict.fromkeys(word for words in lists for word in words))}
        if not number:
            return torch.zeros(len(texts), self.width)
        table = torch.from_numpy(np.stack([direction(word, self.width) for word in number]))  # [W, D]
        rarity = np.array([self.rarity(word) for word in number], dtype=np.float32)
        flat = np.array([number[word] for words in lists for word in words], dtype=np.int64)
        ages = np.concatenate([np.arange(len(words))[::-1] for words in lists])  # words after each
        weights = rarity[flat] * (0.5 ** (ages / self.half_life)).astype(np.float32)
        offsets = np.cumsum([0, *map(len, lists)])[:-1]
        summed = embedding_bag(
            torch.from_numpy(flat),
            table,
            torch.from_numpy(offsets),
            mode="sum",
            per_sample_weights=torch.from_numpy(weights),
        )
        return normalize(summed, dim=1)

    def rarity(self, word: str) -> float:
        """Smoothed inverse document frequency; a word of no document counts like the rarest."""
        return math.log((1 + self.documents) / (1 + self.counts.get(word, 1))) + 1

    @property
    def _record(self) -> dict[str, Any]:
        return {
            "width": self.width,
            "half_life": self.half_life,
            "documents": self.documents,
            "counts": self.counts,
        }

    def save(self, folder: Path) -> None:
        write_text(folder / STATIC_FILE, json.dumps(self._record, ensure_ascii=False))

    @classmethod
    def load(cls, path: Path) -> "StaticEncoder":
        """Read what `save` wrote. Raises CheckpointError where it is damaged."""
        try:
            return cls(**read_json(path, STATIC_SHAPE))
        except TypeError as error:  # of further entries
            raise CheckpointError(path, f"is no static encoder ({error})", COPY_AGAIN) from None


class LibraryEncoder:
    """A model of sentence-transformers, frozen."""

    def __init__(self, model: Any) -> None:
        self.model = model.eval().requires_grad_(False)

    @classmethod
    def of_name(cls, name: str) -> "LibraryEncoder":
        """Load a hub id or a folder.

        Raises:
            MissingExtraError: sentence-transformers is not installed.
            CheckpointError: there is no such model.
        """
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError:
            raise MissingExtraError("sentence-transformers", EXTRA, f"the sentence encoder {name}") from None
        if not Path(name).is_dir():
            check_hub_id(name if "/" in name else f"{ORGANISATION}/{name}")
        else:
            check_model(Path(name))
        fix = f"give a hub id or folder of a sentence-transformers model, or {STATIC}"
        with library_errors(name, "cannot be loaded as a sentence encoder", fix):
            return cls(SentenceTransformer(name))

    @property
    def width(self) -> int:
        return int(self.model.get_embedding_dimension())

    @property
    def fingerprint(self) -> str:
        return weights_fingerprint(sorted(self.model.state_dict().items()))

    def encode(self, texts: Sequence[str]) -> Tensor:
        if not len(texts):
            return torch.zeros(0, self.width)
        vectors = self.model.encode(
            list(texts), convert_to_tensor=True, normalize_embeddings=True, show_progress_bar=False
        )
        with_words = torch.tensor([bool(WORD.search(text)) for text in texts])
        return vectors.float().cpu().clone() * with_words[:, None]  # clone: the library computes in inference mode

    def save(self, folder: Path) -> None:
        self.model.save(str(folder / LIBRARY_FOLDER), create_model_card=False)


def new_encoder(
    name: str, documents: Sequence[str], width: int = STATIC_WIDTH, half_life: float = STATIC_HALF_LIFE
) -> SentenceEncoder:
    """An encoder for one catalog.

    Args:
        name: `static`, or a hub id or folder of sentence-transformers.
        documents: the text of every item.
        width, half_life: of the static encoder; a library model has a width of its own.
    """
    return StaticEncoder.of_texts(documents, width, half_life) if name == STATIC else LibraryEncoder.of_name(name)


def load_encoder(folder: Path) -> SentenceEncoder:
    """Read a saved encoder. Raises CheckpointError where there is none."""
    if (folder / STATIC_FILE).exists():
        return StaticEncoder.load(folder / STATIC_FILE)
    if (folder / LIBRARY_FOLDER).is_dir():
        return LibraryEncoder.of_name(str(folder / LIBRARY_FOLDER))
    raise CheckpointError(folder, "holds no sentence encoder", COPY_AGAIN)


def words_of(text: str) -> list[str]:
    """Words and numbers in their order, in any script, without regard to case."""
    return WORD.findall(text.casefold())


@lru_cache(maxsize=1 << 16)
def direction(word: str, width: int) -> FloatArray:
    """A vector of length 1 that follows from the letters of the word, on any machine: signs from its hash. [D]."""
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(word.encode()).digest(width // 8), dtype=np.uint8))
    return (bits.astype(np.float32) * 2 - 1) / np.float32(math.sqrt(width))
