"""MovieLens as GroupLens publishes it: `ml-latest-small`, `ml-latest`, `ml-25m`, `ml-32m` (CSV), `ml-1m`, `ml-10m`.

Entry point: `MovieLens`, on the folder or the zip. Ratings of one user are sorted by movie id in the files and often
share a second, so ties are broken by the hash of user and movie (see `reckon.data.prepare.filters`), not by file
order: low ids are old and popular films.
"""

import csv
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reckon.data.prepare.workspace import Workspace, literal
from reckon.data.scale import Scale
from reckon.data.sources.files import CsvStyle, columns_of, fingerprint, relation
from reckon.data.sources.load import store_interactions, store_items
from reckon.data.splits import Protocol
from reckon.errors import DataError

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
            (folder / f"{name}.csv", CsvStyle()),
            (folder / f"{name}.dat", CsvStyle(delimiter="::", names=columns)),
        ):
            path = published
            if not path.exists():
                continue
            if path.name == "movies.dat":
                path, style = _as_csv(path, workspace.folder), CsvStyle()
            sql = relation(workspace, path, style)
            found = columns_of(workspace, path, sql)
            for column in columns:
                if column not in found:
                    raise DataError(str(path), f"has no column {column!r}", "use the file as it was published")
            return published, sql
        raise DataError(
            str(self.path),
            f"holds no {name}.csv or {name}.dat",
            "name the folder or zip of a MovieLens edition, e.g. ml-latest-small.zip",
        )

    def _unpacked(self, workspace: Workspace) -> Path:
        """The folder of the two needed files, unpacked into the workspace."""
        target = workspace.folder / "unpacked"
        wanted = {f"{name}{suffix}" for name in COLUMNS for suffix in (".csv", ".dat")}
        try:
            with zipfile.ZipFile(self.path) as archive:
                for member in archive.infolist():
                    name = Path(member.filename).name
                    if name in wanted and "__MACOSX" not in member.filename:
                        member.filename = name
                        archive.extract(member, target)
        except (zipfile.BadZipFile, EOFError, OSError) as error:
            raise DataError(str(self.path), f"is not a sound zip file ({error})", "fetch it again") from None
        return target


def _as_csv(path: Path, folder: Path) -> Path:
    """movies.dat of the old editions has quotes that mean nothing, and Latin-1 titles in ml-1m."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    target = folder / path.name.replace(".dat", ".csv")
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS["movies"])
        for number, line in enumerate(text.splitlines(), start=1):
            fields = line.split("::")
            if len(fields) != len(COLUMNS["movies"]):
                raise DataError(
                    f"{path}, row {number}",
                    f"has {len(fields)} fields, not {len(COLUMNS['movies'])}",
                    "use the file as it was published",
                )
            writer.writerow(fields)
    return target
