"""Making traces: every row is kept or dropped once, under all failures of the teacher."""

import itertools
import json
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest
from support.classroom import HINT, QUICK, completion, endpoint, reply
from support.trace_runs import SETTINGS, FakeTeacher, check_every_row_once, hinted_rating, run, teacher_at, truths
from support.waiting import wait_for

from reckon.errors import ConfigError, DataError, ReckonError
from reckon.teachers.file_teacher import FileTeacher
from reckon.teachers.files import load_traces, read_manifest
from reckon.teachers.teacher import TeacherRefused
from reckon.teachers.traces import TraceSettings, make_traces, trace_rows


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
    traces = load_traces(tmp_path / "traces", data_checksum=books.checksum, split=books.protocol)
    assert all(trace.rating == truth[trace.messages[-1]["content"]] == trace.predicted for trace in traces)
    assert {trace.hinted for trace in traces if trace.rating >= 4} == {False}
    assert read_manifest(tmp_path / "traces")["settings"]["model"] == "m"


def test_hinted_reasoning_is_read_again_and_kept_only_where_it_leads_to_the_rating(books, tmp_path):
    truth, checked = truths(books), replace(SETTINGS, check=True)

    def behaviour(answer, prompt, nth):
        if prompt.startswith("Somebody argues"):
            return answer.json(completion("<rate>2</rate>"))
        if HINT in prompt:
            return answer.json(completion(reply(hinted_rating(prompt))))
        answer.json(completion(reply(truth[prompt] if truth[prompt] >= 4 else 5)))

    with endpoint(behaviour) as server:
        summary = make_traces(books, teacher_at(server), tmp_path / "traces", checked)
        count = Counter(truth.values())
        assert summary.kept_hinted == count[2] and summary.unchecked == 0
        assert summary.dropped == {"reasoning leads elsewhere": count[1] + count[3]}
        check_every_row_once(books, tmp_path / "traces")
        asked = sum(server.asked.values())
        unread = make_traces(books, teacher_at(server), tmp_path / "traces", SETTINGS)
        assert unread.kept_hinted == unread.unchecked == count[1] + count[2] + count[3]
        assert make_traces(books, teacher_at(server), tmp_path / "traces", checked) == summary
        assert sum(server.asked.values()) == asked  # nothing is asked twice, whatever is done with it


def test_every_row_is_kept_or_dropped_once_under_all_teacher_failures(books, tmp_path):
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


def test_a_restarted_server_loses_no_row(books, tmp_path):
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


@pytest.mark.parametrize(("code", "fix"), [(401, "OPENAI_API_KEY"), (404, "--model")])
def test_a_wrong_key_or_model_stops_at_once(books, tmp_path, code, fix):
    with endpoint(lambda answer, *_: answer.json({}, code)) as server:
        with pytest.raises(TeacherRefused, match=fix):
            make_traces(books, teacher_at(server), tmp_path / "traces", SETTINGS)
        assert sum(server.asked.values()) <= 2 * QUICK.parallel
    assert not (tmp_path / "traces" / "traces.json").exists()


def test_an_unavailable_teacher_stops_the_run_and_its_rows_can_be_asked_again(books, tmp_path):
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


# -- a file -------------------------------------------------------------------------------------------------------


def test_a_file_teacher_is_asked_only_about_its_rows(books, tmp_path):
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
    assert "match no training row, or several" in "\n".join(summary.lines())


def entry(row, text):
    question = row.question
    return {"user_id": question.user_id, "item_id": question.item_id, "timestamp": question.time, "reply": text}


def test_repeated_traces_gain_their_split_without_questions(books, tmp_path):
    truth, out = truths(books), tmp_path / "traces"

    def behaviour(answer, prompt, nth):
        answer.json(completion(reply(truth[prompt])))

    with endpoint(behaviour) as server:
        first = make_traces(books, teacher_at(server), out, SETTINGS)
        asked, about = sum(server.asked.values()), json.loads((out / "traces.json").read_text())
        del about["settings"]["split"]
        (out / "traces.json").write_text(json.dumps(about))
        with pytest.raises(DataError, match=r"does not name the split.*repeat the `reckon traces make`"):
            load_traces(out, split=books.protocol)
        make_traces(books, teacher_at(server), out, SETTINGS)
        assert sum(server.asked.values()) == asked
    assert len(load_traces(out, split=books.protocol)) == first.kept == len(truth)


def test_a_file_of_replies_to_other_data_is_refused(books, tmp_path):
    path = tmp_path / "replies.jsonl"
    path.write_text(json.dumps({"user_id": "stranger", "item_id": "b1", "reply": "x"}))
    with pytest.raises(DataError, match="no reply for any training row"):
        make_traces(books, FileTeacher(path), tmp_path / "traces", SETTINGS)


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"window": -1}, {"price_in": -1.0}], ids=str)
def test_a_setting_out_of_range_is_refused(wrong):
    with pytest.raises(ConfigError, match="--"):
        TraceSettings(**wrong)
