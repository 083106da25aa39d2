import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reckon.data.prepare.clean import clean_array, clean_text


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
