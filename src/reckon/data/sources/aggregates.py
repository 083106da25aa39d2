"""Tell the columns of an item table that may count the future: means, counts, ranks, sales, price histories.

Entry points: `may_hold_the_future` for a name, `left_out` for the columns of an input.
Such a column is computed over the whole period of the data, the test period
included, so in an item's text it would tell a model what it is tested on.
"""

import re
from collections.abc import Collection, Iterable

from reckon.data.prepare.workspace import Workspace
from reckon.errors import DataError
from reckon.messages import listed

# Names are compared as lower-case words: `ratingNumber`, `rating-number` and `rating_number` are the same.
WHOLE = re.compile(
    r"ratings?|stars|score|scored by|popularity|members|favou?rites|listeners|play ?counts?|sales|rank|ranking|"
    r"best ?sellers?( rank)?|sales ?rank|also (buy|view|bought|viewed)|bought together|buy after viewing|"
    r"similar (items?|books|products)|related"
)
MEASURE = re.compile(r"\b(average|avg|mean|median|num|n|number|no|counts?|total|sum|weighted|top|max|min)\b")
EVENT = re.compile(
    r"\b(ratings?|reviews?|votes?|voters?|stars?|scores?|sales|sold|views?|plays?|orders?|purchases?|clicks?|likes?|"
    r"downloads?|users?|buyers?|customers?|listeners?|readers?|fans|favou?rites|owners|players|interactions|events)\b"
)
PRICE = re.compile(r"\bprices?\b.*\b(history|hist|over time|changes?|min|max|lowest|highest|average|avg|mean)\b|"
                   r"\b(lowest|highest|average|avg|mean|min|max|historical)\b.*\bprices?\b")  # fmt: skip
LATEST = re.compile(r"\b(last|latest)\b.*\b(sold|sale|review|rating|order|purchase|played|seen)\b|\bsales\b.*\brank\b")
SOLD = re.compile(r"\b(ratings?|reviews?|votes?)\b.*\bdistribution\b|\bhistogram\b|\bunits sold\b|\bpopularity\b")


def may_hold_the_future(name: str) -> bool:
    """Whether a column of this name usually sums up events of the whole period."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = " ".join(re.sub(r"[\W_]+", " ", words).lower().split())
    if WHOLE.fullmatch(words):
        return True
    if MEASURE.search(words) and EVENT.search(words):
        return True
    return any(pattern.search(words) for pattern in (PRICE, LATEST, SOLD))


def left_out(workspace: Workspace, columns: Iterable[str], keep: Collection[str], where: str) -> list[str]:
    """The columns that are not to become item text, told to the user by name.

    Args:
        columns: names of the input.
        keep: those of them that the user vouches for.

    Raises:
        DataError: a column to keep is not there.
    """
    columns = list(columns)
    for name in keep:
        if name not in columns:
            raise DataError(where, f"has no column {name!r} to keep", f"use {listed(columns)}")
    found = [name for name in columns if may_hold_the_future(name)]
    gone = [name for name in found if name not in keep]
    if gone:
        workspace.note(
            f"{where}: {listed(gone)} left out of the items' text, as it may count events of the test period; "
            "--keep NAME brings a column back"
        )
    if kept := [name for name in found if name in keep]:
        workspace.note(f"{where}: {listed(kept)} kept in the items' text, though it may count the test period")
    return gone
