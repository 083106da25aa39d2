import zipfile

import pytest
from support.rating_laws import Laws

from reckon.data import Dataset
from reckon.data.describe import describe
from reckon.data.prepare.prepare import prepare
from reckon.data.ratings import rating_examples
from reckon.data.sources.movielens import MovieLens
from reckon.errors import DataError

MOVIES = [
    ("1", "Toy Story (1995)", "Animation|Children"),
    ("2", 'The "Quoted" One (1990)', "Drama"),
    ("3", "Café (2001)", "(no genres listed)"),
] + [(str(n), f"Film {n}", "Drama") for n in range(4, 30)]
RATINGS = [
    (user, movie, "3.5", 1_000_000_000 + user * 7 + 50 * (movie // 6)) for user in (1, 2) for movie in range(1, 30)
]


@pytest.fixture
def published(tmp_path, csv_file):
    """A folder of the CSV editions."""
    csv_file("movies.csv", ("movieId", "title", "genres"), MOVIES)
    csv_file("ratings.csv", ("userId", "movieId", "rating", "timestamp"), RATINGS)
    return tmp_path


def test_the_folder_and_its_zip_give_the_same_data(published, tmp_path):
    with zipfile.ZipFile(tmp_path / "ml-test.zip", "w") as archive:
        for name in ("movies.csv", "ratings.csv"):
            archive.write(published / name, f"ml-test/{name}")
    first = Dataset.load(prepare(MovieLens(published), tmp_path / "1"))
    second = Dataset.load(prepare(MovieLens(tmp_path / "ml-test.zip"), tmp_path / "2"))
    assert first.checksum == second.checksum
    assert first.catalog.record(first.catalog.index("1")) == {
        "item_id": "1",
        "title": "Toy Story (1995)",
        "genres": ["Animation", "Children"],
    }
    assert first.catalog.record(first.catalog.index("3"))["genres"] is None


def test_the_old_edition_is_read_too(tmp_path):
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    (folder / "movies.dat").write_bytes("\n".join("::".join(movie) for movie in MOVIES).encode("latin-1"))
    (folder / "ratings.dat").write_text("\n".join("::".join(map(str, rating)) for rating in RATINGS) + "\n")
    catalog = Dataset.load(prepare(MovieLens(folder), tmp_path / "out")).catalog
    assert [catalog.titles[catalog.index(n)] for n in ("2", "3")] == ['The "Quoted" One (1990)', "Café (2001)"]


def test_ties_in_time_are_not_ordered_by_movie_id(published, tmp_path):
    dataset = Dataset.load(prepare(MovieLens(published), tmp_path / "out"))
    assert "md5" in dataset.info["tie_rule"]
    ids = [int(dataset.catalog.ids[index]) for index in dataset.events.item_index[dataset.user_index == 0]]
    tied = [ids[start : start + 6] for start in (5, 11, 17)]  # movies 6 to 11, 12 to 17, 18 to 23 share a second each
    assert [sorted(group) for group in tied] == [list(range(6, 12)), list(range(12, 18)), list(range(18, 24))]
    assert all(group != sorted(group) for group in tied)


def test_a_rating_example_shows_only_what_is_strictly_older(published, tmp_path):
    dataset = Dataset.load(prepare(MovieLens(published), tmp_path / "out"))
    assert dataset.info["rating_scale"] == {"lowest": 1, "highest": 5, "step": 0.5}  # all are 3.5
    laws = Laws(dataset)
    for split in ("train", "valid", "test"):
        for example in rating_examples(dataset, split, window=5):
            laws.check(example, window=5, item_window=10)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no movies\.csv"):
        prepare(MovieLens(tmp_path), tmp_path / "out")
    (tmp_path / "half.zip").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(DataError, match="not a sound zip file"):
        prepare(MovieLens(tmp_path / "half.zip"), tmp_path / "out")


def test_the_real_edition_has_the_published_counts(real_data, tmp_path):
    out = prepare(MovieLens(real_data("movielens-small")), tmp_path / "out")
    dataset = Dataset.load(out)
    assert dataset.info["totals"] == {"items": 9742, "users": 610, "interactions": 100_836}
    assert [len(dataset.examples(split)) for split in ("train", "valid", "test")] == [80_180, 10_023, 10_023]
    assert "1996-03-29 to 2018-09-24" in describe(out)
