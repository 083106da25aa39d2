"""Making traces: what is kept and dropped, that every row ends once whatever the teacher does, and going on."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from classroom import HINT, QUICK, completion, endpoint, rated_dataset, reply
from waiting import wait_for

from reckon.data.ratings import Scale
from reckon.errors import ConfigError, DataError, ReckonError
from reckon.methods.asking import Answer, Pace, Patience, waiting_time
from reckon.methods.teachers import FileTeacher, OpenAITeacher, TeacherRefused
from reckon.methods.trace_files import load_traces, read_manifest
from reckon.methods.trace_rules import hinted_messages, judge, leaks, written
from reckon.methods.traces import JOURNAL_FILE, TraceSettings, make_traces, trace_rows

STARS = Scale(1, 5, 1)
SETTINGS = TraceSettings(patience=QUICK)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    return rated_dataset(tmp_path_factory.mktemp("rated") / "data")


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


# -- the rule -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(0, 1, reply(4)), None),
        (Answer(0, 1, reply(3.6)), None),  # 4 after snapping
        (Answer(0, 1, f"<think>hm</think>\n{reply(4)}\n"), None),
        (Answer(0, 1, reply(3)), "wrong rating"),
        (Answer(0, 1, "it is a 4"), "unparseable: missing analyze user"),
        (Answer(0, 1, reply(4) + " Bye"), "unparseable: text outside"),
        (Answer(0, 1, reply(9)), "unparseable: off scale"),
        (Answer(0, 2, reply(4, match="")), "unparseable: empty match"),
        (Answer(0, 1, "  "), "empty"),
        (Answer(0, 1, reply(4), finish="length"), "truncated"),
        (Answer(0, 1, "", finish="refused"), "refused"),
        (Answer(0, 1, failure="timeout"), "failed: timeout"),
        (Answer(0, 2, reply(4, match="fits the hint")), "hint leaked"),
        (Answer(0, 1, reply(4, match="fits the hint")), None),  # nobody gave one
        (Answer(0, 2, reply(4, user="The TRUE\nrating is 4")), "hint leaked"),
        (Answer(0, 2, reply(4, match="a hint of jazz fits")), None),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_becomes_of_an_answer(answer, reason):
    assert judge(answer, 4.0, STARS).reason == reason


def test_without_steps_a_rating_is_right_within_a_hundredth_of_the_range():
    scale = Scale(0, 10, None)
    assert judge(Answer(0, 1, reply(7.09)), 7.0, scale).kept
    assert not judge(Answer(0, 1, reply(7.11)), 7.0, scale).kept


@pytest.mark.parametrize(
    "said",
    [
        "the true rating",
        "as given",
        "the rating was given",
        "I was told that",
        "user really gave 4",
        "ground truth",
        "hint says",
    ],
)
def test_giving_the_hint_away_is_noticed(said):
    assert leaks({"match": f"Because {said} so."})


@pytest.mark.parametrize(
    "said", ["the user has given high ratings", "hints of folk", "a real gem", "gave 4 stars to sea"]
)
def test_ordinary_reasoning_gives_nothing_away(said):
    assert not leaks({"match": said, "rate": "true rating"})


def test_the_hint_names_the_rating_after_the_whole_prompt():
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "p"}]
    hinted = hinted_messages(messages, 3.5)
    assert hinted[0] == messages[0]
    assert hinted[1]["content"].startswith(f"p\n\n{HINT}3.5.")
    assert messages[1]["content"] == "p"


def test_only_thinking_in_front_is_taken_away():
    assert written("<think>a</think> b <think>c</think>") == "b <think>c</think>"


# -- a run --------------------------------------------------------------------------------------------------------


def test_right_replies_are_kept_and_wrong_ones_asked_again_with_a_hint(books, tmp_path):
    truth = truths(books)

    def behaviour(answer, prompt, nth):
        if HINT in prompt:
            rating = hinted_rating(prompt)
            return answer.json(completion(reply(rating, "the true rating says so" if rating == 1 else "fits")))
        answer.json(completion(reply(truth[prompt] if truth[prompt] >= 4 else 5)))

    settings = replace(SETTINGS, price_in=10.0, price_out=100.0)
    summary, server = run(books, behaviour, tmp_path / "traces", settings)
    count = Counter(truth[prompt] for prompt in truth)
    high = count[4] + count[5]
    assert summary.kept == len(truth) - count[1]
    assert summary.kept_hinted == count[2] + count[3]
    assert summary.dropped == {"hint leaked": count[1]}
    answers = high + 2 * (len(truth) - high)
    assert summary.requests == answers == sum(server.asked.values())
    assert (summary.prompt_tokens, summary.completion_tokens) == (100 * answers, 20 * answers)
    assert summary.cost == pytest.approx((100 * 10 + 20 * 100) / 1e6 * answers)
    check_every_row_once(books, tmp_path / "traces")
    traces = load_traces(tmp_path / "traces", data_checksum=books.checksum)
    assert all(trace.rating == truth[trace.messages[-1]["content"]] == trace.predicted for trace in traces)
    assert {trace.hinted for trace in traces if trace.rating >= 4} == {False}
    assert read_manifest(tmp_path / "traces")["settings"]["model"] == "m"


def test_every_row_ends_once_whatever_the_teacher_does(books, tmp_path):
    """Each row meets one misbehaviour, some once and some for ever."""
    truth, over = truths(books), threading.Event()
    place = {prompt: number for number, prompt in enumerate(truth)}
    trouble = [
        lambda answer: answer.json({"error": {"message": "slow down"}}, 429, {"Retry-After": "0.05"}),
        lambda answer: answer.json({}, 500),
        lambda answer: answer.json(completion(reply(3)), cut=60),
        lambda answer: answer.close_early(),
        lambda answer: answer.hang_up(),
        lambda answer: over.wait(120),  # silence, until the client has given up
    ]
    kinds = ["rate limit", "server error", "bad answer", "connection", "connection", "timeout"]

    def behaviour(answer, prompt, nth):
        number = place[prompt]
        for_ever = number >= 2 * len(trouble)
        if number < 3 * len(trouble) and (for_ever or nth == 1):
            return trouble[number % len(trouble)](answer)
        answer.json(completion(reply(truth[prompt])))

    settings = replace(SETTINGS, patience=replace(QUICK, retries=1, parallel=8))
    summary, server = run(books, behaviour, tmp_path / "traces", settings, timeout=4)
    over.set()
    check_every_row_once(books, tmp_path / "traces")
    assert summary.kept == len(truth) - len(trouble)
    assert summary.dropped == {f"failed: {kind}": number for kind, number in Counter(kinds).items()}
    assert sum(server.asked.values()) == summary.requests == len(truth) + 3 * len(trouble)


def test_retries_are_bounded(books, tmp_path):
    settings = replace(SETTINGS, rows=1)
    summary, server = run(books, lambda answer, *_: answer.json({}, 500), tmp_path / "traces", settings)
    assert sum(server.asked.values()) == QUICK.retries + 1
    assert summary.dropped == {"failed: server error": 1}


def test_retry_after_holds_every_thread_back(books, tmp_path, monkeypatch):
    """The server answers nobody until the client has read the 429; from then on nothing is sent for 0.4 seconds."""
    truth, held, refused = truths(books), threading.Event(), threading.Lock()
    hold = Pace.hold
    monkeypatch.setattr(Pace, "hold", lambda pace, seconds: (hold(pace, seconds), held.set()))

    def behaviour(answer, prompt, nth):
        if refused.acquire(blocking=False):  # the first request, whichever it is; never released
            return answer.json({}, 429, {"Retry-After": "0.4"})
        held.wait(120)
        answer.json(completion(reply(truth[prompt])))

    # The client's time limit is long: it must not give up a request that the server holds on purpose.
    settings = replace(SETTINGS, rows=12)
    _, server = run(books, behaviour, tmp_path / "traces", settings, timeout=120)
    late = [moment - server.times[0] >= 0.4 for moment in server.times]
    assert len(late) == 13  # every row once, and the refused one again
    assert sum(late) >= 13 - QUICK.parallel


def test_a_server_that_dies_and_comes_back_costs_no_row(books, tmp_path):
    truth, served = truths(books), itertools.count(1)
    died, finished, address = threading.Event(), threading.Event(), []

    def dying(answer, prompt, nth):
        if next(served) <= 8:
            return answer.json(completion(reply(truth[prompt])))
        died.wait(120)
        answer.hang_up()

    def behaviour(answer, prompt, nth):
        answer.json(completion(reply(truth[prompt])))

    def serve():
        with endpoint(dying) as server:
            address.append(server)
            wait_for(lambda: sum(server.asked.values()) > 8)
        died.set()
        time.sleep(0.3)  # nobody listens
        with endpoint(behaviour, server.server_port):
            finished.wait(120)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    wait_for(lambda: address)
    patience = replace(QUICK, retries=1000, longest_wait=0.1)
    summary = make_traces(books, teacher_at(address[0]), tmp_path / "traces", replace(SETTINGS, patience=patience))
    finished.set()
    thread.join()
    assert died.is_set()
    assert summary.kept == len(truth)
    assert summary.requests > len(truth)
    check_every_row_once(books, tmp_path / "traces")


def test_requests_per_minute_space_the_requests(books, tmp_path):
    truth = truths(books)
    settings = replace(SETTINGS, rows=6, patience=replace(QUICK, requests_per_minute=600))
    began = time.monotonic()  # before the first request, which the server may notice late
    _, server = run(books, lambda a, prompt, nth: a.json(completion(reply(truth[prompt]))), tmp_path / "t", settings)
    assert server.times[-1] - began >= 5 * 0.1 - 1e-6


def test_a_pace_sends_one_request_per_gap_and_none_while_it_is_held(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    pace, moments = Pace(1200, clock), []
    for request in range(6):
        pace.wait()
        moments.append(clock.now)
        if request == 3:
            pace.hold(0.5)
    assert moments == pytest.approx([0, 0.05, 0.1, 0.15, 0.65, 0.7])


class Clock:
    """Stands for the event that a run is stopping: it never is, and waiting for it takes no time but the clock's."""

    now = 0.0

    def wait(self, seconds):
        self.now += seconds

    def is_set(self):
        return False


def test_waiting_grows_is_bounded_and_never_undercuts_the_server():
    import random

    patience = Patience(first_wait=1.0, longest_wait=8.0)
    waits = [waiting_time(patience, retry, None, random.Random(0)) for retry in range(8)]
    assert waits == [waiting_time(patience, retry, None, random.Random(0)) for retry in range(8)]
    assert all(0.5 * min(8, 2**retry) <= wait <= min(8, 2**retry) for retry, wait in enumerate(waits))
    assert 30 <= waiting_time(patience, 0, 30.0, random.Random(0)) <= 30.1


@pytest.mark.parametrize(("code", "fix"), [(401, "OPENAI_API_KEY"), (404, "--model")])
def test_a_wrong_key_or_model_stops_at_once(books, tmp_path, code, fix):
    with endpoint(lambda answer, *_: answer.json({}, code)) as server:
        with pytest.raises(TeacherRefused, match=fix):
            make_traces(books, teacher_at(server), tmp_path / "traces", SETTINGS)
        assert sum(server.asked.values()) <= 2 * QUICK.parallel
    assert not (tmp_path / "traces" / "traces.json").exists()


def test_a_teacher_that_is_gone_stops_the_run_and_its_rows_can_be_asked_again(books, tmp_path):
    truth = truths(books)
    out = tmp_path / "traces"
    settings = replace(SETTINGS, patience=replace(QUICK, retries=0, give_up_after=3))
    with endpoint(lambda answer, *_: answer.json({}, 500)) as server:
        with pytest.raises(ReckonError, match="--ask-failed-again"):
            make_traces(books, teacher_at(server), out, settings)
        port = server.server_port
    with endpoint(lambda answer, prompt, _: answer.json(completion(reply(truth[prompt]))), port) as server:
        summary = make_traces(books, teacher_at(server), out, replace(settings, ask_failed_again=True))
    assert summary.kept == len(truth)
    check_every_row_once(books, out)


def test_the_same_seed_draws_the_same_rows(books):
    drawn = [
        [row.question.row for row in trace_rows(books, FakeTeacher(), TraceSettings(rows=9, seed=seed))[0]]
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 9


# -- going on -----------------------------------------------------------------------------------------------------


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
    from reckon.methods.trace_journal import Journal

    with Journal(tmp_path / "j", {}), pytest.raises(DataError, match="another run"):
        Journal(tmp_path / "j", {})


def test_something_else_in_the_way_is_refused(books, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="something else"):
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
        *("--teacher", "openai", "--model", "m", "--base-url", server.url, "--parallel", "3", "--timeout", "120"),
    ]
    source = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": source}, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_a_stopped_run_goes_on_and_asks_nothing_twice(books, tmp_path, how):
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


# -- a file -------------------------------------------------------------------------------------------------------


def test_a_file_is_asked_about_its_own_rows(books, tmp_path):
    rows = trace_rows(books, FakeTeacher(), SETTINGS)[0][:4]
    right, wrong, hinted, timeless = rows
    entries = [
        entry(right, reply(right.rating)),
        entry(wrong, reply(wrong.rating % 5 + 1)),
        entry(hinted, "nonsense") | {"hinted_reply": reply(hinted.rating)},
        {key: value for key, value in entry(timeless, reply(timeless.rating)).items() if key != "timestamp"},
        {"user_id": "stranger", "item_id": "b1", "reply": reply(3)},
    ]
    path = tmp_path / "replies.jsonl"
    path.write_text("\n".join(map(json.dumps, entries)))
    summary = make_traces(books, FileTeacher(path), tmp_path / "traces", SETTINGS)
    assert (summary.asked, summary.kept, summary.kept_hinted, summary.unmatched) == (4, 3, 1, 1)
    assert summary.dropped == {"wrong rating": 1}
    assert "belong to no single training row" in "\n".join(summary.lines())


def entry(row, text):
    question = row.question
    return {"user_id": question.user_id, "item_id": question.item_id, "timestamp": question.time, "reply": text}


def test_a_file_about_other_data_is_refused(books, tmp_path):
    path = tmp_path / "replies.jsonl"
    path.write_text(json.dumps({"user_id": "stranger", "item_id": "b1", "reply": "x"}))
    with pytest.raises(DataError, match="no reply for any training row"):
        make_traces(books, FileTeacher(path), tmp_path / "traces", SETTINGS)


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"window": -1}, {"price_in": -1.0}], ids=str)
def test_a_setting_out_of_range_is_refused(wrong):
    with pytest.raises(ConfigError, match="--"):
        TraceSettings(**wrong)
