"""Files of finished traces: kept replies, dropped rows with reasons, counts and cost.

    traces.parquet     kept: row, user_id, item_id, time, rating (true), prompt (messages as JSON), reply, predicted,
                       attempt, hinted, prompt_tokens, completion_tokens
    dropped.parquet    dropped rows: row, user_id, item_id, time, rating, reason, detail, reply (the last), attempt
    traces.json        settings, teacher, data checksum, split, counts, tokens, cost, checksums of the two; written last

Entry points: `write_traces`, `load_traces`. Each file is written whole or not at all.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import reckon
from reckon.errors import DataError
from reckon.files import file_sha256, whole_file, write_text
from reckon.json_file import Each, read_json
from reckon.prompts.render import Message

FORMAT = 1
KEPT_FILE, DROPPED_FILE, SUMMARY_FILE = "traces.parquet", "dropped.parquet", "traces.json"

_ROW = [
    ("row", pa.int64()),
    ("user_id", pa.string()),
    ("item_id", pa.string()),
    ("time", pa.int64()),
    ("rating", pa.float64()),
]
KEPT_SCHEMA = pa.schema(
    [
        *_ROW,
        ("prompt", pa.string()),
        ("reply", pa.large_string()),
        ("predicted", pa.float64()),
        ("attempt", pa.int8()),
        ("hinted", pa.bool_()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
    ]
)
DROPPED_SCHEMA = pa.schema(
    [
        *_ROW,
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("reply", pa.large_string()),
        ("attempt", pa.int8()),
    ]
)


@dataclass(frozen=True, slots=True)
class Trace:
    """One kept reply of a teacher."""

    row: int
    """Row number in `rating_examples(dataset, "train")`."""
    user_id: str
    item_id: str
    time: int | None
    rating: float
    """The true rating."""
    messages: list[Message]
    """The prompt, without a hint."""
    reply: str
    predicted: float
    hinted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSummary:
    """Counts of a run. Tokens are summed over answers that report them; `uncounted` answers do not."""

    asked: int
    """Rows."""
    kept: int
    kept_hinted: int
    """Kept rows that needed the hint."""
    unchecked: int
    """Kept hinted rows whose reasoning the teacher did not read again."""
    dropped: dict[str, int]
    """Dropped rows by reason, most frequent first."""
    requests: int
    """Requests sent, retries included, of all questions in the journal."""
    prompt_tokens: int
    completion_tokens: int
    uncounted: int
    cost: float | None
    """In the currency of the prices; None without prices."""
    unmatched: int
    """Replies of a file that match no training row, or several."""

    def lines(self) -> list[str]:
        """The summary as lines of text."""
        dropped = sum(self.dropped.values())
        lines = [f"kept {self.kept} of {self.asked} rows ({self.kept_hinted} of them after a hint), dropped {dropped}"]
        if self.unchecked:
            lines.append(f"{self.unchecked} of the hinted were not read again without their rating")
        lines += [f"  {count:6d}  {reason}" for reason, count in self.dropped.items()]
        tokens = f"{self.requests} requests, {self.prompt_tokens} prompt and {self.completion_tokens} completion tokens"
        lines.append(tokens + (f"; {self.uncounted} answers came without a count" if self.uncounted else ""))
        if self.cost is not None:
            lines.append(f"cost {self.cost:.2f}" + (" or more" if self.uncounted else ""))
        if self.unmatched:
            lines.append(f"{self.unmatched} replies of the file match no training row, or several")
        return lines


def reasons(dropped: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Rows by reason, most frequent first; ties by name."""
    counts = Counter(row["reason"] for row in dropped)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def write_traces(
    out: Path,
    kept: list[dict[str, Any]],
    dropped: list[dict[str, Any]],
    summary: TraceSummary,
    settings: Mapping[str, Any],
) -> None:
    """Write the three files, `traces.json` last."""
    tables = {
        KEPT_FILE: pa.Table.from_pylist(kept, KEPT_SCHEMA),
        DROPPED_FILE: pa.Table.from_pylist(dropped, DROPPED_SCHEMA),
    }
    for name, table in tables.items():
        with whole_file(out / name) as part:
            pq.write_table(table, part, compression="zstd")
    manifest = {
        "format": FORMAT,
        "reckon": reckon.__version__,
        "settings": dict(settings),
        "counts": asdict(summary),
        "files": {name: file_sha256(out / name) for name in tables},
    }
    write_text(out / SUMMARY_FILE, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def load_traces(path: str | Path, *, data_checksum: str | None = None, split: str | None = None) -> list[Trace]:
    """Load the kept traces of a finished run, in the order of their rows.

    Args:
        path: the directory made by `reckon traces make`.
        data_checksum: `Dataset.checksum` of the traces' data; None accepts any.
        split: `Dataset.protocol` of the traces' training rows; None accepts any.

    Raises:
        DataError: the run is not finished, its files are damaged, or they belong to other data or another split.
    """
    path = Path(path)
    manifest = read_manifest(path)
    made_from = manifest["settings"].get("data")
    if data_checksum is not None and made_from != data_checksum:
        raise DataError(str(path), "was made from other data", "make traces of this data set")
    if split is not None:
        _refuse_other_split(path, manifest["settings"].get("split"), split)
    if not (path / KEPT_FILE).exists() or file_sha256(path / KEPT_FILE) != manifest["files"].get(KEPT_FILE):
        raise DataError(str(path / KEPT_FILE), f"is not what {SUMMARY_FILE} describes", "repeat `reckon traces make`")
    rows = pq.read_table(path / KEPT_FILE).to_pylist()
    return [
        Trace(
            row=row["row"],
            user_id=row["user_id"],
            item_id=row["item_id"],
            time=row["time"],
            rating=row["rating"],
            messages=json.loads(row["prompt"]),
            reply=row["reply"],
            predicted=row["predicted"],
            hinted=row["hinted"],
        )
        for row in rows
    ]


def _refuse_other_split(path: Path, made_of: str | None, split: str) -> None:
    """Refuse traces of another split: the data's checksum does not depend on the split, and training rows of one split
    may be test rows of another."""
    if made_of is None:
        fix = "repeat the `reckon traces make` command that made it; no question is asked again"
        raise DataError(str(path), "does not name the split of its rows", fix)
    if made_of != split:
        problem = f"holds training rows of the {made_of} split, which may be test rows of the {split} split"
        raise DataError(str(path), problem, f"make traces of the data prepared with the {split} split")


def read_manifest(path: Path) -> dict[str, Any]:
    """Read `traces.json` of a finished run. Raises DataError where it is missing or damaged."""
    if not (path / SUMMARY_FILE).exists():
        fix = "repeat the `reckon traces make` command that started it"
        raise DataError(str(path), f"holds no finished traces ({SUMMARY_FILE} is missing)", fix)
    shape = {"format": object, "files": Each(str)}
    manifest: dict[str, Any] = read_json(path / SUMMARY_FILE, shape, error=DataError, fix="repeat `reckon traces make`")
    if manifest["format"] != FORMAT:
        raise DataError(str(path / SUMMARY_FILE), "is no summary of traces", "repeat `reckon traces make`")
    return manifest
