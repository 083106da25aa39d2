"""An item as text, for item prompts and text encoders.

Entry points: `item_text`, and `item_ids` for its tokens within a budget. Fields are in the column order of
`items.parquet`, so the text is the same in every run and on every machine. All text is plain (`reckon.prompts.plain`).
"""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from reckon.prompts.cutting import UNTITLED, cut_tokens, cut_words
from reckon.prompts.plain import guarded, plain

NOT_TEXT = ("item_id", "title")
log = logging.getLogger(__name__)
DEEPEST = 8  # levels of a nested value that are shown


def item_text(record: Mapping[str, Any], max_words: int = 64) -> str:
    """An item as one line without markup: `title. field: value. …`.

    Args:
        record: the item's columns in file order (`Catalog.record`). Empty values are left out.
        max_words: words kept of the fields after the title, >= 0; 0 keeps only the title. Words do not limit the title;
            tokens do (`item_ids`).

    Source: R2ec (arXiv 2505.16994) section 3.1, item prompt.
    """
    title = plain(record["title"]) or UNTITLED
    if not max_words:
        return title
    fields = []
    for name, value in record.items():
        if name in NOT_TEXT:
            continue
        if text := plain(readable(value)):
            fields.append(f"{plain(name.replace('_', ' '))}: {text}")
    rest = cut_words(". ".join(fields), max_words)
    return f"{title}. {rest}" if rest else title


def readable(value: Any, depth: int = 0) -> str:
    """A value as text: list elements joined by commas, `name: part` for a record, empty for an empty value.

    A string that holds a JSON list or object is parsed: sources write columns of mixed lists and text that way.
    """
    if value is None or depth > DEEPEST:
        return ""
    if isinstance(value, str):
        parsed = _json_of(value)
        return value if parsed is None else readable(parsed, depth + 1)
    if isinstance(value, Mapping):
        parts = [(str(name), readable(part, depth + 1)) for name, part in value.items()]
        return ", ".join(f"{name}: {part}" for name, part in parts if part)
    if isinstance(value, Sequence):
        return ", ".join(part for part in (readable(part, depth + 1) for part in value) if part)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _json_of(text: str) -> list[Any] | dict[str, Any] | None:
    ends = text.strip()[:1] + text.strip()[-1:]
    if ends not in ("[]", "{}"):
        return None
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, list | dict) else None


def item_ids(texts: Sequence[str], tokenizer: Any, end: str, most: int) -> list[list[int]]:
    """Token ids of item texts, each followed by `end`, with the tokenizer's start token if it has one.

    A warning gives the number of texts that were cut.

    Args:
        texts: texts from `item_text`.
        tokenizer: the model's tokenizer.
        end: suffix of every text, never cut, such as a method's marker.
        most: most tokens of each, > 0; a longer text loses its end.
    """
    safe = [guarded(text, tokenizer) for text in texts]
    ids: list[list[int]] = tokenizer([text + end for text in safe], padding=False, truncation=False)["input_ids"]

    def length(text: str) -> int:
        return len(tokenizer(guarded(text, tokenizer) + end)["input_ids"])

    long = [row for row, found in enumerate(ids) if len(found) > most]
    for row in long:
        ids[row] = tokenizer(guarded(cut_tokens(texts[row], most, length), tokenizer) + end)["input_ids"]
    if long:
        log.warning(
            "%s of %s item texts lose their end: more than %s tokens (prompt.item_tokens, and the model's positions)",
            f"{len(long):,}",
            f"{len(texts):,}",
            most,
        )
    return ids
