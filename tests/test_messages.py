"""A message is one printable line of at most 300 characters, without secrets; what the system refuses has a fix."""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reckon.errors import ConfigError, DataError, of_the_system
from reckon.messages import CLIPPED, LONGEST, cut, listed, one_line, printable, redacted


@settings(max_examples=30)
@given(st.text(), st.text(), st.text())
def test_every_error_is_one_printable_line(where, problem, fix):
    said = str(DataError(where, problem, fix))
    assert len(said) <= LONGEST and all(char.isprintable() for char in said)


def test_a_long_message_keeps_its_beginning_and_its_fix():
    said = str(ConfigError("--since", "x" * 1_000_000, "is no date", "write it as 2016-10-01"))
    assert said.startswith("--since = 'xxx") and said.endswith("x': is no date. Fix: write it as 2016-10-01.")


def test_a_message_that_is_too_long_loses_the_beginning_of_its_path_first():
    path, rule = f"/{'folder/' * 30}runs/shop", "is float32, which rounds times: 3 rows share their user's time"
    message = one_line(f"{path}/events.parquet, field timestamp: {rule}. Fix: write it as int64.")
    assert message == f"…/shop/events.parquet, field timestamp: {rule}. Fix: write it as int64."


def test_what_a_terminal_would_obey_is_written_as_an_escape_and_lines_stay():
    assert printable("a\x1b[31m\nb\u202ec\x9b") == "a\\x1b[31m\nb\\u202ec\\x9b"
    assert cut("a\nb\x07" + "c" * 99, 9) == "a b\\x07c…"


@pytest.mark.parametrize(
    "address",
    ["postgresql://user:{}@host/db", "POSTGRESQL://user:{}@host/db", "postgresql+psycopg://user:{}@host/db",
     "https://user:{}@[::1/x", "postgresql:/user:{}@host/db", "postgresql://h/db?password={}&a=b",
     "host=h password={} user=x", "OPENAI_API_KEY={}"],
)  # fmt: skip
@pytest.mark.parametrize("secret", ["S3cretS3cret", "S3cretS3cret%zz", "S3cretS3cret#/@x"])
def test_no_secret_of_an_address_or_a_key_is_shown(address, secret):
    assert "S3cret" not in one_line(f"cannot read {address.format(secret)}: refused")


def test_a_key_behind_bearer_is_not_shown():
    assert one_line("sent Authorization: Bearer abcdefghij-0123456789") == "sent Authorization: Bearer ***"


@pytest.mark.parametrize("secret", ["a b", "a b@c/d", "%zz"])
def test_a_secret_may_hold_blanks(secret):
    assert redacted(f"x://u:{secret}@host/db, table t") == "x://***@host/db, table t"


def test_a_secret_that_is_known_is_replaced_wherever_it_stands():
    assert redacted("got k1 and k1", "k1") == "got *** and ***"


def test_a_long_message_is_clipped_before_it_is_searched(monkeypatch):
    seen = []
    monkeypatch.setattr("reckon.messages.redacted", lambda text: seen.append(len(text)) or text)
    assert len(one_line("a://b:" * 1_000_000)) <= LONGEST and max(seen) <= 2 * CLIPPED + 1


def test_a_long_list_of_names_says_how_many_more_there_are():
    assert listed([f"c{number}" for number in range(500_000)]) == "c0, c1, c2, c3, c4, c5, c6, c7 and 499,992 more"
    assert listed("ab") == "a, b"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG, errno.ENOTDIR])
def test_what_the_system_refuses_names_the_path_and_a_fix(number):
    refusal = of_the_system(OSError(number, "said", "/data/out"))
    assert refusal is not None and str(refusal).startswith("/data/out: ") and "Fix: " in str(refusal)


def test_a_full_disk_is_told_from_the_words_of_a_library_too():
    try:
        try:
            raise RuntimeError("IO Error: Could not write file: No space left on device")
        except RuntimeError as error:
            raise ValueError("saving failed") from error
    except ValueError as error:
        assert "no space is left" in str(of_the_system(error))


@pytest.mark.parametrize(
    "error", [ValueError("x"), FileNotFoundError(errno.ENOENT, "no such file", "x"), KeyError("x")]
)
def test_a_bug_is_not_taken_for_a_refusal(error):
    assert of_the_system(error) is None
