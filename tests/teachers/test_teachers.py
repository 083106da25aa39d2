"""Teachers: kinds of failures, contents of requests, answers of files and local models."""

import json
import threading
import time
from email.utils import formatdate

import pytest
from support import shelf
from support.classroom import completion, endpoint, reply

from reckon.errors import ConfigError, DataError
from reckon.teachers.file_teacher import FileTeacher
from reckon.teachers.local_teacher import LocalTeacher
from reckon.teachers.openai_teacher import OpenAITeacher, reply_of, retry_after
from reckon.teachers.teacher import CHECK, HINTED, Question, TeacherFailure, TeacherRefused

QUESTION = Question(3, "u1", "b1", 5, [{"role": "user", "content": "rate it"}])


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def ask(behaviour, timeout=60.0, **settings):
    with endpoint(behaviour) as server:
        return OpenAITeacher("m", base_url=server.url, timeout=timeout, **settings).ask(QUESTION), server


def failure(behaviour, timeout=60.0):
    with pytest.raises(TeacherFailure) as error:
        ask(behaviour, timeout)
    return error.value


def status(code, body=None, headers=None):
    return lambda answer, *_: answer.json(body or {"error": {"message": "no"}}, code, headers)


def test_a_reply_comes_with_its_tokens(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    got, server = ask(lambda answer, *_: answer.json(completion("hello")), max_tokens=7, temperature=0.5)
    assert (got.text, got.prompt_tokens, got.completion_tokens, got.finish) == ("hello", 100, 20, "stop")
    body, headers = server.bodies[0]
    assert body == {"messages": QUESTION.messages, "model": "m", "max_tokens": 7, "temperature": 0.5}
    assert headers["authorization"] == "Bearer secret"


def test_a_temperature_that_was_not_given_is_not_sent():
    _, server = ask(lambda answer, *_: answer.json(completion("hello")))
    assert "temperature" not in server.bodies[0][0]


@pytest.mark.parametrize(
    ("behaviour", "kind", "again"),
    [
        (status(429), "rate limit", True),
        (status(500), "server error", True),
        (status(503), "server error", True),
        (lambda answer, *_: answer.json(completion("hello"), cut=40), "bad answer", True),
        (lambda answer, *_: answer.json({"error": {"message": "overloaded"}}), "bad answer", True),
        (lambda answer, *_: answer.json([1, 2]), "bad answer", True),
        (lambda answer, *_: answer.close_early(), "connection", True),
        (lambda answer, *_: answer.hang_up(), "connection", True),
        (status(400), "bad request", False),
        (status(400, {"error": {"message": "long", "code": "context_length_exceeded"}}), "prompt too long", False),
    ],
    ids=["429", "500", "503", "cut JSON", "error body", "no object", "close early", "hang up", "400", "too long"],
)
def test_a_failure_has_a_kind_and_says_whether_to_try_again(behaviour, kind, again):
    got = failure(behaviour)
    assert (got.kind, got.again) == (kind, again)


def test_a_silent_server_times_out():
    given_up = threading.Event()
    assert failure(lambda *_: given_up.wait(120), timeout=0.1).kind == "timeout"
    given_up.set()


def test_a_closed_port_is_a_connection_failure():
    with pytest.raises(TeacherFailure, match="connection"):
        OpenAITeacher("m", base_url="http://127.0.0.1:9/v1", timeout=1.0).ask(QUESTION)


@pytest.mark.parametrize(
    ("code", "body", "says"),
    [
        (401, None, "OPENAI_API_KEY"),
        (403, None, "OPENAI_API_KEY"),
        (404, None, "--model"),
        (402, None, "credit"),
        (429, {"error": {"message": "quota", "code": "insufficient_quota"}}, "credit"),
    ],
)
def test_permanent_failures_are_refused_with_a_fix(code, body, says):
    with pytest.raises(TeacherRefused, match=says):
        ask(status(code, body))


def test_the_key_is_in_no_message(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    for code in (401, 404, 429, 400):
        with pytest.raises((TeacherRefused, TeacherFailure)) as error:
            ask(status(code, {"error": {"message": "bad key sk-secret"}}))
        assert "sk-secret" not in str(error.value) + getattr(error.value, "detail", "")


@pytest.mark.parametrize(
    "behaviour",
    [status(200, {"error": "bad key my-key"}), status(200, {"choices": [{"message": {"content": ["my-key"]}}]})],
)
def test_a_key_that_is_echoed_is_in_no_failure(monkeypatch, behaviour):
    monkeypatch.setenv("OPENAI_API_KEY", "my-key")
    with pytest.raises(TeacherFailure) as failure:
        ask(behaviour)
    assert "my-key" not in failure.value.detail


def test_a_key_that_is_echoed_in_a_reply_is_not_kept(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "my-key")
    reply, _ = ask(status(200, {"choices": [{"message": {"content": "You sent my-key."}}]}))
    assert reply.text == "You sent ***."


@pytest.mark.parametrize("url", ["http://[::1", "nowhere", "http://u:my-key@[x"])
def test_a_base_url_that_is_no_address_is_refused_without_its_secret(url):
    with pytest.raises(ConfigError, match="--base-url") as told:
        OpenAITeacher("m", base_url=url)
    assert "my-key" not in str(told.value)


def test_retry_after_is_seconds_milliseconds_or_a_date(monkeypatch):
    assert failure(status(429, headers={"Retry-After": "7"})).retry_after == 7.0
    assert failure(status(503, headers={"Retry-After-Ms": "250"})).retry_after == 0.25
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    assert retry_after({"retry-after": formatdate(1_700_000_030, usegmt=True)}) == 30.0
    assert retry_after({"retry-after": formatdate(1_600_000_000, usegmt=True)}) == 0.0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None


def test_openai_itself_needs_a_key_and_no_other_endpoint_does():
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        OpenAITeacher("m")
    OpenAITeacher("m", base_url="http://localhost:1/v1")


def test_stored_settings_hold_no_secret(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    identity = OpenAITeacher("m", base_url="http://me:word@host:1/v1?key=k").identity
    assert identity["base_url"] == "http://host:1/v1"
    assert "sk-secret" not in json.dumps(identity)


@pytest.mark.parametrize(
    ("body", "finish", "text"),
    [
        (completion("", finish="length"), "length", ""),
        (completion(None, refusal="I will not"), "refused", ""),
        (completion("half", finish="content_filter"), "refused", "half"),
        (completion(None), "stop", ""),
        (completion("a \ud800 b"), "stop", "a ? b"),
    ],
)
def test_the_finish_reason_of_a_reply_is_read(body, finish, text):
    got = reply_of(body)
    assert (got.finish, got.text) == (finish, text)


def test_an_answer_without_token_counts_is_accepted():
    assert reply_of(completion("x", usage=None)).completion_tokens is None


def write(path, *entries):
    path.write_text("\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in entries))
    return path


def test_a_file_answers_by_user_item_and_time(tmp_path):
    teacher = FileTeacher(
        write(
            tmp_path / "replies.jsonl",
            {"user_id": "u1", "item_id": "b1", "reply": "any time"},
            {"user_id": "u1", "item_id": "b1", "timestamp": 5, "reply": "at 5", "hinted_reply": "knowing"},
            {"user_id": 7, "item_id": 8, "reply": "numbers are ids too"},
        )
    )
    assert teacher.ask(QUESTION).text == "at 5"
    assert teacher.ask(Question(3, "u1", "b1", 6, [])).text == "any time"
    assert teacher.ask(Question(3, "7", "8", None, [])).text == "numbers are ids too"
    assert teacher.ask(Question(3, "u1", "b1", 5, [], attempt=HINTED)).text == "knowing"
    assert not teacher.answers(Question(3, "u1", "b1", 6, [], attempt=HINTED))
    assert not teacher.answers(Question(3, "u1", "b1", 5, [], attempt=CHECK))
    assert not teacher.answers(Question(3, "u2", "b1", 6, []))


@pytest.mark.parametrize(
    "entries",
    [
        ["{"],
        ["[]"],
        [{"user_id": "u", "reply": "x"}],
        [{"user_id": "u", "item_id": "i", "reply": 4}],
        [{"user_id": "u", "item_id": "i", "reply": "x", "timestamp": "then"}],
        [{"user_id": "u", "item_id": "i", "reply": "x"}] * 2,
        [""],
    ],
    ids=str,
)
def test_a_bad_file_is_refused(tmp_path, entries):
    with pytest.raises(DataError):
        FileTeacher(write(tmp_path / "replies.jsonl", *entries))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        FileTeacher(tmp_path / "none.jsonl")


def test_a_local_model_repeats_its_reply_for_a_seed(tmp_path):
    folder = shelf.backbone_folder(tmp_path / "model")
    teacher = LocalTeacher(folder, max_tokens=6, temperature=1.0, seed=1)
    first = teacher.ask(QUESTION)
    assert first == teacher.ask(QUESTION)
    assert first != LocalTeacher(folder, max_tokens=6, temperature=1.0, seed=2).ask(QUESTION)
    assert first.completion_tokens == 6
    assert first.finish == "length"


def test_a_local_model_refuses_a_prompt_beyond_its_context(tmp_path):
    teacher = LocalTeacher(shelf.backbone_folder(tmp_path / "model"), max_tokens=6)
    long = Question(0, "u", "i", None, [{"role": "user", "content": reply(3) * 20}])
    with pytest.raises(TeacherFailure, match="prompt too long"):
        teacher.ask(long)


def test_a_local_model_is_told_by_its_files_from_wherever_it_is_named(tmp_path, monkeypatch):
    folder = shelf.backbone_folder(tmp_path / "model")
    whole = LocalTeacher(str(folder)).identity
    monkeypatch.chdir(tmp_path)
    assert LocalTeacher("model").identity == whole
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert LocalTeacher("model").identity != whole
