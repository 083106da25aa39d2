import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reckon.data.prepare.clean import ENDS, clean_array, clean_text


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Tom &amp;amp; Jerry", "Tom & Jerry"),
        ("one<br />two<br>three", "one two three"),
        ("&lt;p&gt;escaped&lt;/p&gt; markup", "escaped markup"),
        ('cut off <span class="a-size-medium', "cut off"),
        ("<script>if (a < b) { }</script>kept", "kept"),
        ("a < b, I <3 it, <Untitled>", "a < b, I <3 it, <Untitled>"),
        (" tabs\tand\n\nlines\u00a0and\u200b nothing ", "tabs and lines and nothing"),
        ("cafe\u0301", "café"),
        (None, ""),
    ],
)
def test_text_by_hand(raw, clean):
    assert clean_text(raw) == clean


@given(st.text(alphabet=st.sampled_from("ab <>/&;bramp\u00a0\t\u200b\u0301\x07#39"), max_size=30))
def test_a_column_is_cleaned_like_its_strings(text):
    [column] = clean_array(pa.array([text])).to_pylist()
    assert (column or "") == clean_text(text)


def test_lists_lose_empty_and_repeated_values():
    texts = pa.array([["Rock", "Rock", "R&amp;B", " "], None, []])
    assert clean_array(texts).to_pylist() == [["Rock", "R&B"], None, None]


@pytest.mark.parametrize(("opening", "name"), [("<!--", ""), ("<script>", "script"), ("<style a>", "style")])
def test_the_end_of_hidden_text_is_looked_for_once_where_there_is_none(monkeypatch, opening, name):
    searched = []

    class Counted:
        def search(self, text, place):
            searched.append(place)
            return None

    monkeypatch.setitem(ENDS, name, Counted())
    clean_text(opening * 20_000)
    assert searched == [len(opening)]


def test_hidden_text_goes_with_its_end_and_an_opening_without_one_stays():
    assert clean_text("a<!-- b -->c<SCRIPT x>d</script >e<!-- f") == "a c e<!-- f"


def test_a_letter_keeps_thirty_marks_at_most():
    assert len(clean_text("a" + "\u0301\u0327" * 40_000)) <= 31


@pytest.mark.parametrize("number", ["&#" + "9" * 5_000 + ";", "&#x" + "f" * 5_000 + ";"])
def test_a_number_of_no_character_is_left_out(number):
    assert clean_text(f"a{number}b") == "a b"


def test_a_short_number_before_letters_is_the_character_it_names():
    assert clean_text("&#233acceded") == "éacceded"
