"""Resuming traces: no question is repeated, and other settings or data are refused."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from support.classroom import HINT, QUICK, completion, endpoint, rated_dataset, reply
from support.trace_runs import SETTINGS, FakeTeacher, check_every_row_once, hinted_rating, run, teacher_at, truths
from support.waiting import wait_for

from reckon.errors import BusyError, DataError
from reckon.teachers.files import load_traces
from reckon.teachers.openai_teacher import OpenAITeacher
from reckon.teachers.traces import JOURNAL_FILE, make_traces, trace_rows


def test_a_finished_run_asks_nothing_when_repeated(books, tmp_path):
    truth = truths(books)

    def behaviour(answer, prompt, nth):
        answer.json(completion(reply(truth[prompt])))

    with endpoint(behaviour) as server:
        first = make_traces(books, teacher_at(server), tmp_path / "traces", SETTINGS)
        before = sum(server.asked.values())
        assert make_traces(books, teacher_at(server), tmp_path / "traces", SETTINGS) == first
        assert sum(server.asked.values()) == before


def test_other_settings_or_data_are_refused(books, tmp_path):
    truth = truths(books)
    with endpoint(lambda answer, prompt, _: answer.json(completion(reply(truth[prompt])))) as server:
        make_traces(books, teacher_at(server), tmp_path / "traces", SETTINGS)
        for changed in (replace(SETTINGS, seed=1), replace(SETTINGS, window=3)):
            with pytest.raises(DataError, match="was begun with"):
                make_traces(books, teacher_at(server), tmp_path / "traces", changed)
        with pytest.raises(DataError, match="was begun with data"):
            make_traces(rated_dataset(tmp_path / "more", users=9), teacher_at(server), tmp_path / "traces", SETTINGS)
        hotter = OpenAITeacher("m", base_url=server.url, temperature=1.0)
        with pytest.raises(DataError, match="temperature"):
            make_traces(books, hotter, tmp_path / "traces", SETTINGS)
        patient = replace(SETTINGS, patience=replace(QUICK, parallel=1), price_in=1.0)
        make_traces(books, teacher_at(server), tmp_path / "traces", patient)  # changes no reply


def test_another_split_of_the_same_data_is_refused_by_name(books, tmp_path):
    truth = truths(books)
    with endpoint(lambda answer, prompt, _: answer.json(completion(reply(truth[prompt])))) as server:
        make_traces(books, teacher_at(server), tmp_path / "traces", SETTINGS)
        other = replace(books, info=books.info | {"split": "temporal"})
        with pytest.raises(DataError, match="begun with split = 'leave-one-out', now it is 'temporal'"):
            make_traces(other, teacher_at(server), tmp_path / "traces", SETTINGS)


def test_a_half_written_line_is_discarded_and_a_damaged_one_refused(books, tmp_path):
    truth = truths(books)
    out = tmp_path / "traces"
    with endpoint(lambda answer, prompt, _: answer.json(completion(reply(truth[prompt])))) as server:
        make_traces(books, teacher_at(server), out, SETTINGS)
        lines = (out / JOURNAL_FILE).read_bytes().splitlines(keepends=True)
        for cut in (lines[-1][: len(lines[-1]) // 2], lines[-1][:-1], b"\0\0\0\n"):
            server.asked.clear()
            (out / JOURNAL_FILE).write_bytes(b"".join(lines[:-1]) + cut)
            make_traces(books, teacher_at(server), out, SETTINGS)
            assert sum(server.asked.values()) == 1
            check_every_row_once(books, out)
        (out / JOURNAL_FILE).write_bytes(b"".join([*lines[:2], b"{\n", *lines[3:]]))
        with pytest.raises(DataError, match="line 3"):
            make_traces(books, teacher_at(server), out, SETTINGS)


def test_two_runs_on_one_journal_are_refused(books, tmp_path):
    truth, refused = truths(books), []

    def behaviour(answer, prompt, nth):
        """Before the first run gets its answer, a second one begins in the endpoint's thread."""
        with pytest.raises(BusyError) as told:
            make_traces(books, FakeTeacher(), tmp_path / "traces", SETTINGS)
        refused.append(told.value)
        answer.json(completion(reply(truth[prompt])))

    with endpoint(behaviour) as server:
        make_traces(books, teacher_at(server), tmp_path / "traces", SETTINGS)
    assert refused


def test_a_directory_with_other_files_is_refused(books, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="is not empty and holds no traces"):
        make_traces(books, FakeTeacher(), tmp_path, SETTINGS)


def test_unfinished_or_changed_traces_do_not_load(books, tmp_path):
    with pytest.raises(DataError, match="no finished traces"):
        load_traces(tmp_path)
    truth = truths(books)
    run(books, lambda answer, prompt, _: answer.json(completion(reply(truth[prompt]))), tmp_path / "t", SETTINGS)
    with pytest.raises(DataError, match="other data"):
        load_traces(tmp_path / "t", data_checksum="x")
    (tmp_path / "t" / "traces.parquet").write_bytes(b"x")
    with pytest.raises(DataError, match="is not what"):
        load_traces(tmp_path / "t")


def journalled(out):
    """(row, attempt) of whole lines."""
    lines = (out / JOURNAL_FILE).read_bytes().split(b"\n")[1:-1] if (out / JOURNAL_FILE).exists() else []
    return [(entry["row"], entry["attempt"]) for entry in map(json.loads, lines)]


def start(books, server, out):
    command = [
        *(sys.executable, "-m", "reckon", "traces", "make", "--data", str(books.path), "--out", str(out)),
        *("--teacher", "openai", "--model", "m", "--base-url", server.url, "--parallel", "3", "--no-check"),
    ]
    source = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": source}, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_a_stopped_run_resumes_without_repeated_questions(books, tmp_path, how):
    truth, served, stopped = truths(books), itertools.count(1), threading.Event()
    out = tmp_path / "traces"

    def behaviour(answer, prompt, nth):
        if next(served) > 8:  # the others are on their way when the run is stopped
            stopped.wait(120)
        rating = hinted_rating(prompt) if HINT in prompt else truth[prompt] if truth[prompt] > 2 else 5
        answer.json(completion(reply(rating)))

    with endpoint(behaviour) as server:
        process = start(books, server, out)
        wait_for(lambda: len(journalled(out)) >= 8)
        process.send_signal(how)
        stopped.set()
        _, said = process.communicate(timeout=120)
        done = journalled(out)
        assert 8 <= len(done) < len(truth)
        assert not (out / "traces.json").exists()
        assert process.returncode == (-9 if how is signal.SIGKILL else 130), said
        if how is signal.SIGINT:
            assert "run the same command to go on" in said
            assert sum(server.asked.values()) == len(done)  # answers on their way were waited for
        summary = make_traces(books, teacher_at(server), out, SETTINGS)
    check_every_row_once(books, out)
    assert summary.kept == len(truth)
    again = [prompt for prompt, count in server.asked.items() if count > 1]
    assert len(again) <= (3 if how is signal.SIGKILL else 0)  # those on their way when it was killed
    assert len(journalled(out)) == len(set(journalled(out)))
    prompts = {
        row.question.row: row.question.messages[-1]["content"] for row in trace_rows(books, FakeTeacher(), SETTINGS)[0]
    }
    assert all(server.asked[prompts[row]] == 1 for row, attempt in done if attempt == 1)
