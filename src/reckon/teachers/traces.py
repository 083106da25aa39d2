"""Make RecOne's traces: ask a teacher about training rows, keep right replies, retry with a hint, drop the rest.

Entry point: `make_traces`, behind `reckon traces make`. Rows are drawn with the seed and asked from several threads.
Every answer goes into the journal first, so the same command continues a killed run. The journal alone decides which
rows are kept or dropped.

Source: RecZero (arXiv 2510.23077), RecOne: about 1,000 rows, right traces kept, the others asked again with the truth.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from reckon.data import Dataset
from reckon.data.examples import IntArray
from reckon.data.ratings import RatingExample, RatingExamples, rating_examples, rating_scale
from reckon.errors import ConfigError, DataError
from reckon.locks import locked
from reckon.progress import phase
from reckon.prompts.rating import ITEM_WORDS, REVIEW_WORDS, rating_messages
from reckon.prompts.style import Style
from reckon.teachers.asking import Patience
from reckon.teachers.file_teacher import FileTeacher
from reckon.teachers.files import SUMMARY_FILE, TraceSummary, reasons, write_traces
from reckon.teachers.journal import Journal
from reckon.teachers.rules import written
from reckon.teachers.run import TraceRow, TraceRun
from reckon.teachers.teacher import Question, Teacher

JOURNAL_FILE = "journal.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSettings:
    """Settings of `make_traces`: rows, prompts, requests, prices."""

    rows: int = 1000
    """Training rows, >= 1, drawn without replacement; all if there are fewer. RecOne takes about 1,000."""

    seed: int = 0
    """Seed of the sampled rows and of the jitter of waiting times."""

    style: Style = "instruct"
    """Style of the prompt. A teacher that Reckon did not train needs `instruct`."""

    window: int = 10
    """Ratings of the user in a prompt, >= 0."""

    item_window: int = 10
    """Ratings of the item by others in a prompt, >= 0."""

    review_words: int = REVIEW_WORDS
    """Words of each review in a prompt, >= 0."""

    item_words: int = ITEM_WORDS
    """Words of the item's other columns in a prompt, >= 0."""

    check: bool = True
    """Whether the teacher reads every hinted reasoning again without its rating and must predict that rating; one
    further question per hinted trace."""

    patience: Patience = field(default_factory=Patience)

    ask_failed_again: bool = False
    """Whether a resumed run asks again about rows that failed after all retries."""

    price_in: float | None = None
    """Cost of a million prompt tokens, >= 0; None: no cost is computed."""

    price_out: float | None = None
    """Cost of a million completion tokens, >= 0."""

    def __post_init__(self) -> None:
        for name, least in (("rows", 1), ("window", 0), ("item_window", 0), ("review_words", 0), ("item_words", 0)):
            if getattr(self, name) < least:
                raise ConfigError(_option(name), getattr(self, name), f"must be at least {least}", "use the default")
        for name in ("price_in", "price_out"):
            if getattr(self, name) is not None and not getattr(self, name) >= 0:
                raise ConfigError(_option(name), getattr(self, name), "must not be negative", "leave it out")

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Cost of these numbers of tokens; None without prices."""
        if self.price_in is None and self.price_out is None:
            return None
        return (prompt_tokens * (self.price_in or 0.0) + completion_tokens * (self.price_out or 0.0)) / 1e6


@locked()
def make_traces(
    dataset: Dataset,
    teacher: Teacher,
    out: str | Path,
    settings: TraceSettings | None = None,
    *,
    console: Console | None = None,
) -> TraceSummary:
    """Ask a teacher about training rows and write the traces to a directory. Call it again to continue after a stop.

    Args:
        dataset: with ratings; only training rows are asked about.
        teacher: the teacher.
        out: the directory to make, or the directory of a run to continue.
        settings: rows, prompt, patience, prices.
        console: console of the progress bar, if it is a terminal; default: standard error.

    Returns:
        Counts, tokens and cost; also in `traces.json`.

    Raises:
        DataError: the data has no ratings, or `out` has other settings or data, or is not empty and holds no traces.
        TeacherRefused: wrong key, unknown model, no credit. Answers so far stay in the journal. ReckonError:
        `give_up_after` consecutive rows failed. TracesInterrupted: Ctrl-C (see `trace_run`). Answers so far stay in the
        journal.
    """
    out, settings = Path(out), settings or TraceSettings()
    _check_out(out)
    rows, unmatched = trace_rows(dataset, teacher, settings)
    begun = {**dataset.identity, **_asked(settings), **teacher.identity, "prompts": _fingerprint(rows)}
    with Journal(out / JOURNAL_FILE, begun, ask_failed_again=settings.ask_failed_again) as journal:
        run = TraceRun(
            rows, rating_scale(dataset), teacher, journal, settings.patience, settings.seed, check=settings.check
        )
        with _meter(run, settings, console) as show:
            run.ask_all(show)
        kept, dropped = _records(run)
        summary = _summary(run, settings, kept, dropped, unmatched)
        write_traces(out, kept, dropped, summary, begun | {"check": settings.check})
    return summary


def trace_rows(dataset: Dataset, teacher: Teacher, settings: TraceSettings) -> tuple[list[TraceRow], int]:
    """The rows to ask, in order, and the number of replies of a file that match none of them.

    Rows are drawn with the seed from all training rows; for a FileTeacher, from the rows that it has replies for.

    Raises:
        DataError: the data has no ratings, or a file has a reply for no training row.
    """
    examples = rating_examples(dataset, "train", settings.window, settings.item_window)
    known: IntArray = np.arange(len(examples))
    unmatched = 0
    if isinstance(teacher, FileTeacher):
        known = _rows_in_file(examples, teacher)
        unmatched = len(teacher) - len(known)
        if not len(known):
            fix = "user_id and item_id must be those of interactions.parquet, in the training split"
            raise DataError(str(teacher.path), "has no reply for any training row", fix)
    if settings.rows < len(known):
        known = np.sort(np.random.default_rng(settings.seed).choice(known, settings.rows, replace=False))
    scale, rows = rating_scale(dataset), []
    for row in known.tolist():
        example = examples[row]
        messages = rating_messages(
            example,
            dataset.catalog,
            dataset.words,
            scale,
            settings.style,
            review_words=settings.review_words,
            item_words=settings.item_words,
        )
        item_id = dataset.catalog.ids[example.item_index]
        question = Question(row, example.user_id, item_id, example.time, messages)
        rows.append(TraceRow(question, example.rating, _shown(example)))
    return rows, unmatched


def _shown(example: RatingExample) -> frozenset[float]:
    """Ratings in the prompt of an example: those of the user, those of the item, and both means."""
    means = (mean for mean in (example.user_mean, example.item_mean) if mean is not None)
    return frozenset([*(one.rating for one in (*example.user_history, *example.item_history)), *means])


def _rows_in_file(examples: RatingExamples, teacher: FileTeacher) -> IntArray:
    """Rows with a reply. A reply without a timestamp that matches several rows is used for none."""
    dataset = examples.dataset
    users = [index for index, user in enumerate(dataset.user_ids) if str(user) in teacher.users]
    found: dict[tuple[str, str, int | None], list[int]] = {}
    for row in np.flatnonzero(np.isin(examples.user_index, users)).tolist():
        item_id = dataset.catalog.ids[int(examples.item_indices[row])]
        moment = None if examples.times is None else int(examples.times[row])
        key = teacher.key(str(dataset.user_ids[examples.user_index[row]]), item_id, moment)
        if key is not None:
            found.setdefault(key, []).append(row)
    return np.array(sorted(rows[0] for rows in found.values() if len(rows) == 1), dtype=np.int64)


def _records(run: TraceRun) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Records of the kept and of the dropped rows; every row is in one of them."""
    kept: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    for row in run.rows.values():
        question = row.question
        answer, verdict = run.verdict(row)
        record = {
            "row": question.row,
            "user_id": question.user_id,
            "item_id": question.item_id,
            "time": question.time,
            "rating": row.rating,
            "reply": written(answer.text),
            "attempt": answer.attempt,
        }
        if verdict.kept:
            record |= {
                "prompt": json.dumps(question.messages, ensure_ascii=False),
                "predicted": verdict.rating,
                "hinted": answer.hinted,
                "prompt_tokens": answer.prompt_tokens,
                "completion_tokens": answer.completion_tokens,
            }
            kept.append(record)
        else:
            dropped.append(record | {"reason": verdict.reason, "detail": answer.detail})
    return kept, dropped


def _summary(
    run: TraceRun,
    settings: TraceSettings,
    kept: Sequence[dict[str, Any]],
    dropped: Sequence[dict[str, Any]],
    unmatched: int,
) -> TraceSummary:
    answers = list(run.journal.answers.values())
    prompt_tokens, completion_tokens = run.tokens()
    return TraceSummary(
        asked=len(run.rows),
        kept=len(kept),
        kept_hinted=sum(record["hinted"] for record in kept),
        unchecked=sum(run.is_unchecked(row) for row in run.rows.values()),
        dropped=reasons(dropped),
        requests=sum(answer.requests for answer in answers),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        uncounted=sum(answer.failure is None and answer.completion_tokens is None for answer in answers),
        cost=settings.cost(prompt_tokens, completion_tokens),
        unmatched=unmatched,
    )


def _asked(settings: TraceSettings) -> dict[str, Any]:
    """Settings that decide the questions."""
    names = ("rows", "seed", "style", "window", "item_window", "review_words", "item_words")
    return {name: getattr(settings, name) for name in names}


def _fingerprint(rows: Sequence[TraceRow]) -> str:
    """sha256 of rows and prompts, because another version of Reckon may word prompts differently."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps([row.question.row, row.rating, row.question.messages]).encode())
    return digest.hexdigest()


def _check_out(out: Path) -> None:
    """Refuse a directory that is not empty and holds no journal to continue."""
    if out.is_file():
        raise DataError(str(out), "is a file", "name a directory")
    if not out.is_dir() or (out / JOURNAL_FILE).exists() or not any(out.iterdir()):
        return
    problem = (
        f"holds traces without their {JOURNAL_FILE}"
        if (out / SUMMARY_FILE).exists()
        else "is not empty and holds no traces"
    )
    raise DataError(str(out), problem, "choose another --out")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@contextmanager
def _meter(run: TraceRun, settings: TraceSettings, console: Console | None) -> Iterator[Callable[[], None]]:
    """Show progress and cost; yields a function that updates them."""
    with phase("asking", total=len(run.rows), console=console) as asking:

        def show() -> None:
            cost = settings.cost(*run.tokens())
            text = f"kept {run.kept}, dropped {run.dropped}" + ("" if cost is None else f", cost {cost:.2f}")
            if run.stopping.is_set():
                text = "stopping: waiting for answers on their way (Ctrl-C again stops at once)"
            asking.done, asking.note = run.kept + run.dropped, text

        yield show
