"""Pretraining texts for ranking: pairs of a prompt and a reply.

Entry point: `pretraining_texts`. A data set may have its own texts in `notes.parquet` (column `text`, optional column
`prompt`). Otherwise the texts are made from the catalog and the training histories: item prompts, and compact prompts
with a few words on the next item. All end with the marker, where users and items are read. Only training interactions
are read. Knows nothing of models.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reckon.data import Catalog, Dataset
from reckon.errors import DataError
from reckon.prompts import item_text
from reckon.prompts.cutting import cut_words
from reckon.prompts.plain import plain
from reckon.prompts.r2ec import MARKER, messages

NOTES_FILE = "notes.parquet"
MAX_NOTES = 20_000  # more than a small decoder can read in its steps; bounds memory on large data sets
NOTE_WINDOW = 5  # latest events of a history; earlier ones add time and little information
TITLE_WORDS = 12  # of each history title
DIRECT_EVERY = 4  # every fourth history has no words between the prompt and the marker
KEY_WORDS = 3
RARE = 2  # least number of titles that hold a key word
FREQUENT = 0.05  # largest share of titles that hold a key word


@dataclass(frozen=True, slots=True)
class PretrainingText:
    """One pretraining text. The next-token loss is taken over `written` only; with an empty prompt that is the whole
    text."""

    prompt: str
    written: str

    @property
    def ends_at_marker(self) -> bool:
        """Whether the text ends with the marker, where the rec head reads."""
        return (self.prompt + self.written).endswith(MARKER)


def pretraining_texts(dataset: Dataset, *, item_words: int, seed: int) -> list[PretrainingText]:
    """The data set's own notes; else item cards and notes made from its catalog and training histories.

    Args:
        dataset: its catalog and training interactions are read.
        item_words: words of each item prompt, as in the config of the method.
        seed: of the sample of training histories, where there are more than MAX_NOTES.

    Raises:
        DataError: `notes.parquet` is unreadable or has no text.
    """
    if (dataset.path / NOTES_FILE).exists():
        return _given_notes(dataset)
    return _item_cards(dataset, item_words) + _history_notes(dataset, seed)


def item_documents(dataset: Dataset, item_words: int) -> list[str]:
    """Item prompt of every item, without the marker."""
    catalog = dataset.catalog
    return [item_text(catalog.record(index), item_words) for index in range(len(catalog))]


def _given_notes(dataset: Dataset) -> list[PretrainingText]:
    path = dataset.path / NOTES_FILE
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(str(path), f"is not readable Parquet ({error})", "prepare the data again") from None
    if "text" not in table.column_names or len(table) == 0:
        raise DataError(str(path), "has no column 'text' with rows", "write one text per row, or remove the file")
    written: list[str | None] = table["text"].to_pylist()
    prompts: list[str | None] = table["prompt"].to_pylist() if "prompt" in table.column_names else [""] * len(written)
    return [PretrainingText(prompt or "", text or "") for prompt, text in zip(prompts, written, strict=True)]


def _item_cards(dataset: Dataset, item_words: int) -> list[PretrainingText]:
    documents = item_documents(dataset, item_words)
    return [PretrainingText("", document + MARKER) for document in documents]


def _history_notes(dataset: Dataset, seed: int) -> list[PretrainingText]:
    told = in_few_words(dataset.catalog)
    titles = [cut_words(plain(title), TITLE_WORDS) for title in dataset.catalog.titles]
    notes = []
    for number, example in enumerate(dataset.examples("train", NOTE_WINDOW).sample(MAX_NOTES, seed)):
        prompt = messages(example, titles, dataset.words, "compact")[0]["content"] + "\n"
        if number % DIRECT_EVERY == DIRECT_EVERY - 1:
            notes.append(PretrainingText(prompt + MARKER, ""))
        else:
            notes.append(PretrainingText(prompt, told[example.target] + MARKER))
    return notes


def in_few_words(catalog: Catalog) -> list[str]:
    """At most KEY_WORDS labels or title words of each item that other items share."""
    return _labels(catalog) or _key_words([plain(title) for title in catalog.titles])


def _labels(catalog: Catalog) -> list[str] | None:
    """The first labels of each item from a list column (genres, categories); None where there is no such column. Labels
    are preferred to title words because other items share them."""
    for name in catalog.table.column_names:
        if pa.types.is_list(catalog.table.schema.field(name).type):
            lists: list[list[str] | None] = catalog.table[name].to_pylist()
            return [plain(" ".join(map(str, (labels or ["unknown"])[:KEY_WORDS]))) for labels in lists]
    return None


def _key_words(titles: list[str]) -> list[str]:
    """A few words of each title that some but not most titles share, in title order."""
    count = Counter(word for title in titles for word in set(title.split()))
    most = max(RARE, FREQUENT * len(titles))

    def tells(word: str) -> bool:
        return RARE <= count[word] <= most and any(character.isalpha() for character in word)

    chosen = [[word for word in dict.fromkeys(title.split()) if tells(word)] for title in titles]
    return [" ".join((words or title.split())[:KEY_WORDS]) for words, title in zip(chosen, titles, strict=True)]


def shuffled(texts: list[PretrainingText], generator: np.random.Generator) -> list[PretrainingText]:
    """The texts in random order, for one epoch."""
    return [texts[i] for i in generator.permutation(len(texts))]
