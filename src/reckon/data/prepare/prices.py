"""Read prices as they are written: `$1,299.00`, `1.299,00 €`, `12.99`.

Entry points: `parse_price` for one text, `price_array` for an Arrow column. Only what has one reading becomes a
number: `from 12.99` and `$5 - $9` do not, nor does `1.299 €`, which is 1299 in one country and 1.299 in another.
"""

import re

import pyarrow as pa

CURRENCY = r"(?:[$€£¥₹₩]|US\$|USD|EUR|GBP|JPY|INR)"
AMOUNT = re.compile(rf"(?:{CURRENCY}\s*)?(?P<number>\d[\d.,'\u00a0\u202f ]*?)(?:\s*{CURRENCY})?", re.IGNORECASE)
PLAIN = re.compile(r"\d+(?:\.\d+)?")  # as a program writes it
POINT = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d{1,2})?|\d+\.\d{1,2}")
COMMA = re.compile(r"\d{1,3}(?:[.'\u00a0\u202f ]\d{3})+(?:,\d{1,2})?|\d+,\d{1,2}")
DOLLAR = re.compile(r"\$|USD|GBP|£", re.IGNORECASE)  # of countries that write a decimal point
LONGEST = 40  # characters of a price
EITHER = re.compile(r"\d{1,3}[.,]\d{3}")  # a thousand, or three decimals


def parse_price(text: str | None) -> float | None:
    """The amount, not negative; None where the text has none or more than one reading."""
    text = (text or "").strip()
    if len(text) > LONGEST:
        return None
    if PLAIN.fullmatch(text):
        return float(text)
    match = AMOUNT.fullmatch(text)
    if match is None:
        return None
    number = match["number"]
    if PLAIN.fullmatch(number) and not EITHER.fullmatch(number):
        return float(number)
    if EITHER.fullmatch(number) and not (DOLLAR.search(text)):
        return None
    if POINT.fullmatch(number) or (EITHER.fullmatch(number) and "," in number):
        return float(number.replace(",", ""))
    if EITHER.fullmatch(number):  # $1.299
        return None
    if COMMA.fullmatch(number):
        return float(re.sub(r"[.'\u00a0\u202f ]", "", number).replace(",", "."))
    return None


def price_array(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """`parse_price` of every text."""
    return pa.array([parse_price(text) for text in texts.to_pylist()], pa.float64())
