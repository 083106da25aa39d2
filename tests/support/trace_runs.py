"""Runs of `make_traces` against the classroom's endpoint: who is asked, what is true, where each row ended."""

import pyarrow.parquet as pq

from reckon.teachers.openai_teacher import OpenAITeacher
from reckon.teachers.traces import TraceSettings, make_traces, trace_rows
from support.classroom import HINT, QUICK, endpoint

SETTINGS = TraceSettings(patience=QUICK, check=False)


def teacher_at(server, timeout=60):
    return OpenAITeacher("m", base_url=server.url, timeout=timeout)


def truths(dataset, settings=SETTINGS):
    """The true rating by prompt."""
    rows, _ = trace_rows(dataset, FakeTeacher(), settings)
    return {row.question.messages[-1]["content"]: row.rating for row in rows}


class FakeTeacher:
    """Stands for any teacher that answers everything."""


def hinted_rating(prompt):
    return float(prompt.partition(HINT)[2].partition(". ")[0])


def run(dataset, behaviour, out, settings=SETTINGS, timeout=60):
    with endpoint(behaviour) as server:
        return make_traces(dataset, teacher_at(server, timeout), out, settings), server


def ends(out):
    """Rows of the kept and of the dropped, and the reason of each dropped row."""
    kept = pq.read_table(out / "traces.parquet").to_pylist()
    dropped = pq.read_table(out / "dropped.parquet").to_pylist()
    return [row["row"] for row in kept], {row["row"]: row["reason"] for row in dropped}


def check_every_row_once(dataset, out, settings=SETTINGS):
    kept, dropped = ends(out)
    asked = [row.question.row for row in trace_rows(dataset, FakeTeacher(), settings)[0]]
    assert sorted(kept + list(dropped)) == asked
