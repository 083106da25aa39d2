"""Small inputs made in code, and the real data where it is at hand."""

import csv
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from reckon.data import Dataset
from reckon.data.prepare.filters import Filters
from reckon.data.prepare.prepare import prepare
from reckon.data.sources.table import Table

DAY = 86_400
REAL_DATA = Path(os.environ.get("RECKON_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """The folder of a real data set, or a skip."""

    def find(name: str) -> Path:
        if not (REAL_DATA / name).is_dir():
            pytest.skip(f"real data {name} is not in {REAL_DATA}; set RECKON_TEST_DATA to the folder that holds it")
        return REAL_DATA / name

    return find


@pytest.fixture
def csv_file(tmp_path: Path) -> Callable[..., Path]:
    """Write rows to a CSV file."""

    def write(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
        path = tmp_path / name
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    return write


@pytest.fixture
def shop(tmp_path: Path, csv_file: Callable[..., Path]) -> Callable[..., Dataset]:
    """Prepare a data set of (user, item, day) events and load it; every item has a title unless said otherwise."""

    def make(
        events: Iterable[tuple[str, str, int]], titles: dict[str, str] | None = None, **settings: object
    ) -> Dataset:
        events = list(events)
        titles = titles or {item: f"Title {item}" for _, item, _ in events}
        interactions = csv_file(
            "interactions.csv",
            ("user_id", "item_id", "timestamp"),
            [(user, item, 10_000 * DAY + day * DAY) for user, item, day in events],
        )
        items = csv_file("items.csv", ("item_id", "title"), titles.items())
        filters = {name: settings.pop(name) for name in list(settings) if name in Filters.__dataclass_fields__}
        out = tmp_path / "out"
        prepare(Table(interactions=str(interactions), items=str(items)), out, filters=Filters(**filters), **settings)
        return Dataset.load(out)

    return make


def grid(users: int, length: int, items: int | None = None) -> list[tuple[str, str, int]]:
    """Users who take one item a day, none twice: enough for every split."""
    items = items or length
    return [(f"u{user}", f"i{(user + step) % items}", user + step) for user in range(users) for step in range(length)]


@pytest.fixture
def many() -> list[tuple[str, str, int]]:
    return grid(users=10, length=6, items=9)
