import json

import pytest
from typer.testing import CliRunner

from reckon.cli import app
from reckon.data import Dataset

SOURCES = ("bookshop", "rated-bookshop", "movielens", "amazon-2023", "rows", "table")


@pytest.fixture
def reckon():
    """Run `reckon data …`; exit status, output and errors."""

    def run(*arguments):
        return CliRunner().invoke(app, ["data", *map(str, arguments)])

    return run


@pytest.fixture
def orders(tmp_path):
    path = tmp_path / "orders.csv"
    rows = [
        f"c{user},s{user + item},{1_500_000_000 + 100 * user + item},Thing {user + item}"
        for user in range(5)
        for item in range(6)
    ]
    path.write_text("\n".join(["customer,sku,at,name", *rows]))
    return path


MAP = ("--map", "user_id=customer", "--map", "item_id=sku", "--map", "timestamp=at", "--map", "title=name")


def test_a_table_is_prepared_and_described(reckon, orders, tmp_path):
    out = tmp_path / "shop"
    result = reckon("prepare", "table", orders, out, *MAP, "--words", "thing,things,bought", "--split", "leave-one-out")
    assert result.exit_code == 0, result.output
    assert "5 users, 10 items, 30 interactions" in result.output
    assert Dataset.load(out).words == {"item": "thing", "items": "things", "action": "bought"}
    described = reckon("describe", out)
    assert described.exit_code == 0 and "leave-one-out" in described.output


def test_a_users_error_is_one_line_and_status_two(reckon, orders, tmp_path):
    result = reckon("prepare", "table", orders, tmp_path / "out", "--map", "user_id=client")
    assert result.exit_code == 2
    assert "has no column 'client'" in result.output and "Fix:" in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--map", "user_id"), "NAME=VALUE"),
        (("--words", "thing"), "book,books,read"),
        ((*MAP, "--map", "item_id=name"), "already given"),
        ((*MAP, "--since", "once"), "is not a date"),
        ((*MAP, "--scale", "1-5"), "write it as 1:5"),
        ((*MAP, "--scale", "1:5"), "no ratings for the scale given"),
    ],
)
def test_wrong_options_say_how_to_write_them(reckon, orders, tmp_path, options, message):
    result = reckon("prepare", "table", orders, tmp_path / "out", *options)
    assert result.exit_code == 2 and message in result.output


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_has_help_with_an_example(reckon, source):
    result = reckon("prepare", source, "--help")
    assert result.exit_code == 0 and f"reckon data prepare {source}" in " ".join(result.output.split())


def test_the_rated_bookshop_needs_no_input_and_its_ratings_are_described(reckon, tmp_path):
    result = reckon("prepare", "rated-bookshop", tmp_path / "shop", "--seed", "3")
    assert result.exit_code == 0, result.output
    described = reckon("describe", tmp_path / "shop")
    assert "scale           1 to 5" in described.output and "distribution    1 1" in described.output


def test_the_bookshop_needs_no_input(reckon, tmp_path):
    result = reckon("prepare", "bookshop", tmp_path / "shop", "--seed", "3")
    assert result.exit_code == 0, result.output
    assert "items" in result.output


def test_what_was_read_otherwise_than_written_is_printed_and_described(reckon, orders, tmp_path):
    orders.write_text(orders.read_text().replace("c1,", "c1 ,"))
    result = reckon("prepare", "table", orders, tmp_path / "shop", *MAP)
    assert result.exit_code == 0 and "Note: " in result.output and "6 ids had blanks at their ends" in result.output
    assert "6 ids had blanks at their ends" in reckon("describe", tmp_path / "shop").output


def test_prices_without_one_reading_are_empty_and_counted(reckon, tmp_path):
    prices = ["$1,299.00", "from 12.99", "9.99", "None", *["$5"] * 6]
    meta = [
        json.dumps({"parent_asin": f"i{n}", "title": f"Thing {n}", "price": price}) for n, price in enumerate(prices)
    ]
    (tmp_path / "meta_C.jsonl").write_text("\n".join(meta))
    rows = [f"u{u},i{(u + n) % 10},5,{1_500_000_000_000 + 1000 * (u * 9 + n)}" for u in range(5) for n in range(9)]
    (tmp_path / "C.csv").write_text("\n".join(["user_id,parent_asin,rating,timestamp", *rows]))
    result = reckon("prepare", "amazon-2023", tmp_path, tmp_path / "out", "--category", "C", "--kind", "ratings")
    assert result.exit_code == 0 and "1 values of price are no sure number, such as 'from 12.99'" in result.output
    catalog = Dataset.load(tmp_path / "out").catalog
    found = [catalog.table["price"][catalog.index(f"i{n}")].as_py() for n in range(4)]
    assert found == [1299.0, None, 9.99, None]
