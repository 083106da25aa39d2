import pytest

from reckon.data.prepare.prices import parse_price


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("$1,299.00", 1299.0),
        ("1.299,00 €", 1299.0),
        ("€ 12,99", 12.99),
        ("12.99", 12.99),
        ("$12.99", 12.99),
        ("$1,299", 1299.0),
        ("1 299,50 EUR", 1299.5),
        ("$ 7", 7.0),
        ("from 12.99", None),
        ("$5.00 - $9.00", None),
        ("1.299 €", None),
        ("1,299", None),
        ("—", None),
        ("", None),
        (None, None),
    ],
)
def test_a_price_is_read_where_it_has_one_reading(text, price):
    assert parse_price(text) == price


@pytest.mark.parametrize("text", ["1" + " " * 80_000 + "x", "9" * 400, "$" + "1,000" * 50])
def test_a_text_longer_than_a_price_is_none(text):
    assert parse_price(text) is None
