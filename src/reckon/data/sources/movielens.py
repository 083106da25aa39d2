"""MovieLens as GroupLens publishes it: `ml-latest-small`, `ml-latest`, `ml-25m`, `ml-32m` (CSV), `ml-1m`, `ml-10m`,
`ml-100k`.

Entry point: `MovieLens`, on the folder or the zip. Ratings of one user are sorted by movie id in the files and often
share a second, so ties are broken by the hash of user and movie (see `reckon.data.prepare.filters`), not by file
order: low ids are old and popular films.
"""

import csv
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reckon.data.prepare.workspace import Workspace, literal
from reckon.data.scale import Scale
from reckon.data.sources.files import FileStyle, columns_of, fingerprint, relation
from reckon.data.sources.load import store_interactions, store_items
from reckon.data.splits import Protocol
from reckon.errors import DataError, of_the_system

OF_100K = {"movies": "u.item", "ratings": "u.data"}
GENRES_100K = "u.genre"  # NAME|COLUMN; the flags of u.item have no other names
FIELDS_100K = 5  # of u.item before its flags: id, title, two dates, address
NO_GENRES = "(no genres listed)"
COLUMNS = {"movies": ("movieId", "title", "genres"), "ratings": ("userId", "movieId", "rating", "timestamp")}


@dataclass(frozen=True)
class MovieLens:
    """The published folder or zip."""

    path: Path
    name: str = "movielens"
    words: dict[str, str] = field(default_factory=lambda: {"item": "movie", "items": "movies", "action": "watched"})
    split: Protocol = "temporal"
    unknown_items: str = "error"
    scale: Scale | None = None

    def load(self, workspace: Workspace) -> dict[str, Any]:
        """Read movies (title, genres) and ratings; see `Source.load`."""
        folder = self._unpacked(workspace) if self.path.is_file() else self.path
        read = {name: self._read(workspace, folder, name) for name in COLUMNS}
        movies, ratings = read["movies"], read["ratings"]
        store_items(
            workspace,
            movies[1],
            {
                "item_id": "movieId",
                "title": "title",
                "genres": f"nullif(string_split(nullif(genres, {literal(NO_GENRES)}), '|'), [])",
            },
            movies[0].name,
        )
        store_interactions(
            workspace,
            ratings[1],
            {
                "user_id": "userId",
                "item_id": "movieId",
                "timestamp": '"timestamp"',
                "rating": "rating",
            },
            ratings[0].name,
            time_unit="s",
        )
        inputs = [self.path] if self.path.is_file() else [movies[0], ratings[0]]
        return {"edition": self.path.stem, "files": [fingerprint(path) for path in inputs]}

    def _read(self, workspace: Workspace, folder: Path, name: str) -> tuple[Path, str]:
        columns = COLUMNS[name]
        for published, style in (
            (folder / f"{name}.csv", FileStyle()),
            (folder / f"{name}.dat", FileStyle(delimiter="::", names=columns)),
            (folder / OF_100K[name], FileStyle(format="tsv", names=columns)),
        ):
            path = published
            if not path.exists():
                continue
            if path.name == "movies.dat":
                path, style = _as_csv(path, workspace.folder), FileStyle()
            elif path.name == OF_100K["movies"]:
                path, style = _of_100k(path, workspace.folder), FileStyle()
            sql = relation(workspace, path, style)
            found = columns_of(workspace, path, sql)
            for column in columns:
                if column not in found:
                    raise DataError(str(path), f"has no column {column!r}", "use the file as it was published")
            return published, sql
        raise DataError(
            str(self.path),
            f"holds no {name}.csv, {name}.dat or {OF_100K[name]}" if self.path.exists() else "does not exist",
            "name the folder or zip of a MovieLens edition, e.g. ml-latest-small.zip",
        )

    def _unpacked(self, workspace: Workspace) -> Path:
        """The folder of the two needed files, unpacked into the workspace."""
        target = workspace.folder / "unpacked"
        seen: dict[str, str] = {}
        wanted = {f"{name}{suffix}" for name in COLUMNS for suffix in (".csv", ".dat")} | {
            *OF_100K.values(),
            GENRES_100K,
        }
        try:
            with zipfile.ZipFile(self.path) as archive:
                for member in archive.infolist():
                    name = Path(member.filename).name
                    if name in wanted and "__MACOSX" not in member.filename:
                        if name in seen:
                            raise DataError(
                                str(self.path),
                                f"holds {seen[name]} and {member.filename}",
                                "keep one edition in the zip, or name the unpacked folder of one",
                            )
                        seen[name] = member.filename
                        member.filename = name
                        archive.extract(member, target)
        except NotImplementedError:
            fix = "unpack it and name the folder"
            raise DataError(str(self.path), "is packed by a method that Python does not know", fix) from None
        except RuntimeError:
            raise DataError(str(self.path), "is encrypted", "unpack it and name the folder") from None
        except (zipfile.BadZipFile, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as error:
            if (refusal := of_the_system(error)) is not None:
                raise refusal from None
            raise DataError(str(self.path), f"is not a sound zip file ({error})", "fetch it again") from None
        return target


def _of_100k(path: Path, folder: Path) -> Path:
    """u.item has a flag a genre, in the order of u.genre; without that file the movies have no genres."""
    genres: dict[int, str] = {}
    names = path.with_name(GENRES_100K)
    for line in _text(names).splitlines() if names.exists() else ():
        name, _, place = line.strip().rpartition("|")
        if name and re.fullmatch(r"[0-9]{1,3}", place) and name != "unknown":
            genres[int(place)] = name
    rows = []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        fields = line.rstrip("\r").split("|")
        if len(fields) < FIELDS_100K:
            raise DataError(
                f"{path}, row {number}",
                f"has {len(fields)} fields, not {FIELDS_100K} and the genres",
                "use the file as it was published",
            )
        flags = fields[FIELDS_100K:]
        named = [name for place, name in sorted(genres.items()) if place < len(flags) and flags[place] == "1"]
        rows.append((fields[0], fields[1], "|".join(named) or NO_GENRES))
    return _write_movies(rows, folder)


def _text(path: Path) -> str:
    """A file of the old editions: some are Latin-1."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _write_movies(rows: Iterable[Sequence[str]], folder: Path) -> Path:
    target = folder / "movies.csv"
    with target.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS["movies"], *rows])
    return target


def _as_csv(path: Path, folder: Path) -> Path:
    """movies.dat of the old editions has quotes that mean nothing, and Latin-1 titles in ml-1m."""
    rows = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        fields = line.split("::")
        if len(fields) != len(COLUMNS["movies"]):
            raise DataError(
                f"{path}, row {number}",
                f"has {len(fields)} fields, not {len(COLUMNS['movies'])}",
                "use the file as it was published",
            )
        rows.append(fields)
    return _write_movies(rows, folder)
