"""Find items by what a person typed: an item id, a title, or nearly a title.

Entry point: `parse_history`. An unknown title is refused with the nearest known ones; it is never guessed.
"""

import difflib
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from reckon.errors import DataError

if TYPE_CHECKING:
    from reckon.data.dataset import Catalog

SEPARATOR = ";"  # titles hold commas far more often than semicolons
SUGGESTIONS = 3
RATED = re.compile(r"(.*\S)\s*=\s*-?\d+(?:\.\d+)?")  # `title=4`, as histories of ratings are typed
WORD = re.compile(r"\w+")


def parse_history(catalog: "Catalog", text: str) -> list[int]:
    """Item indices of a history typed as `title; title; …`, oldest first.

    A title may be typed in any case and spacing; an item id works too.

    Raises:
        DataError: no title at all, a title or id that the catalog lacks, or a title of several items.
    """
    by_title: dict[str, list[int]] = defaultdict(list)
    for index, title in enumerate(catalog.titles):
        if folded := _folded(title):  # an untitled item is known by its id alone
            by_title[folded].append(index)
    by_id = {item_id: index for index, item_id in enumerate(catalog.ids)}

    whole = _folded(text)
    if whole in by_title:  # one title that itself holds the separator
        return [_only(catalog, text.strip(), by_title[whole])]
    names = [name.strip() for name in text.split(SEPARATOR) if name.strip()]
    if not names:
        raise DataError("history", "names no item", "give titles separated by semicolons, oldest first")
    history = []
    for name in names:
        if name in by_id:
            history.append(by_id[name])
        elif found := by_title.get(_folded(name)):
            history.append(_only(catalog, name, found))
        elif (rated := RATED.fullmatch(name)) and (rated[1] in by_id or _folded(rated[1]) in by_title):
            raise DataError(f"title {name!r}", "has a rating, which this history cannot use", f"write {rated[1]!r}")
        else:
            raise DataError(f"title {name!r}", "is not in the catalog", _suggestion(catalog, by_title, name))
    return history


def _nearest(catalog: "Catalog", by_title: dict[str, list[int]], text: str) -> list[str]:
    """A few known titles, nearest first; empty where nothing comes close."""
    typed = _folded(text)
    # People type the part of a title they remember: `matrix` for `Matrix, The (1999)`. Shortest such title first.
    # Catalogs move articles: `The Matrix` is `Matrix, The (1999)`, whose words hold all that were typed.
    words = set(WORD.findall(typed))
    containing = sorted(
        (title for title in by_title if typed in title or (words and words <= set(WORD.findall(title)))), key=len
    )[:SUGGESTIONS]
    close = difflib.get_close_matches(typed, by_title, n=SUGGESTIONS, cutoff=0.5)
    titles = list(dict.fromkeys([*containing, *close]))[:SUGGESTIONS]
    return [catalog.titles[by_title[title][0]] for title in titles]


def _suggestion(catalog: "Catalog", by_title: dict[str, list[int]], name: str) -> str:
    near = _nearest(catalog, by_title, name)
    if not near:
        return "see the titles in items.parquet of the data set"
    return f"did you mean {' or '.join(repr(title) for title in near)}"


def _only(catalog: "Catalog", name: str, found: list[int]) -> int:
    if len(found) > 1:
        ids = ", ".join(catalog.ids[index] for index in found[:SUGGESTIONS])
        raise DataError(f"title {name!r}", f"belongs to {len(found)} items", f"give the item id, one of {ids}")
    return found[0]


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
