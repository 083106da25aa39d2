"""Histories typed as titles: exact up to case and spacing, otherwise refused with suggestions."""

import pyarrow as pa
import pytest

from reckon.data import Catalog
from reckon.data.titles import parse_history
from reckon.errors import DataError

TITLES = ["Matrix, The (1999)", "Heat (1995)", "Hamlet; or, the Prince", "Persuasion", "Persuasion", "Alien (1979)"]
CATALOG = Catalog(pa.table({"item_id": [f"i{n}" for n in range(len(TITLES))], "title": TITLES}))


def test_titles_and_ids_in_order_repeats_kept():
    assert parse_history(CATALOG, "heat (1995);i0 ;  Heat   (1995);") == [1, 0, 1]


def test_a_title_that_holds_the_separator_can_be_typed_alone():
    assert parse_history(CATALOG, "hamlet; or, the prince") == [2]


def test_part_of_a_title_is_suggested_not_guessed():
    with pytest.raises(DataError, match=r"did you mean 'Matrix, The \(1999\)'"):
        parse_history(CATALOG, "Heat (1995); matrix")


def test_a_misspelt_title_is_suggested():
    with pytest.raises(DataError, match="did you mean 'Persuasion'"):
        parse_history(CATALOG, "Perswasion")


def test_a_title_near_nothing_points_to_the_catalog():
    with pytest.raises(DataError, match=r"items\.parquet"):
        parse_history(CATALOG, "qqqqzzzz")


def test_a_title_of_several_items_asks_for_the_id():
    with pytest.raises(DataError, match=r"belongs to 2 items\. Fix: give the item id, one of i3, i4"):
        parse_history(CATALOG, "Persuasion")
    assert parse_history(CATALOG, "i4") == [4]


@pytest.mark.parametrize("text", ["", " ; ;"])
def test_no_title_at_all_is_refused(text):
    with pytest.raises(DataError, match="names no item"):
        parse_history(CATALOG, text)


def test_a_title_with_its_article_in_front_is_suggested():
    with pytest.raises(DataError, match=r"did you mean 'Matrix, The \(1999\)'"):
        parse_history(CATALOG, "The Matrix")


def test_an_empty_history_is_no_untitled_item():
    catalog = Catalog(pa.table({"item_id": ["a", "b"], "title": ["", "Heat"]}))
    with pytest.raises(DataError, match="names no item"):
        parse_history(catalog, "")


def test_a_title_with_a_rating_says_how_to_write_it():
    with pytest.raises(DataError, match=r"has a rating, which this history cannot use\. Fix: write 'Persuasion'"):
        parse_history(CATALOG, "Heat (1995); Persuasion=2")
