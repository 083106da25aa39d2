"""Addresses of stores: a path, `sqlite:///path`, `postgresql://user:password@host/database`.

Entry point: `Address.parse`.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from reckon.files import real_path
from reckon.serving.store.errors import StoreError

POSTGRES = re.compile(r"postgres(?:ql)?(?:\+\w+)?://(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
SQLITE = re.compile(r"sqlite:///(?P<path>.+)", re.IGNORECASE | re.DOTALL)
OTHER = re.compile(r"(?P<scheme>[a-z][a-z0-9+.\-]+):/{1,3}", re.IGNORECASE)
FORMS = "give a path, sqlite:///path or postgresql://host/database"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a store is."""

    url: URL
    """With the password."""
    name: str
    """Without user and password, for messages."""
    path: Path | None
    """The file of SQLite; None for PostgreSQL."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """An address from its text.

        Raises:
            StoreError: the text is no address of a store.
        """
        server = POSTGRES.fullmatch(text)
        if server is not None:
            return cls._of_server(server["rest"])
        file = SQLITE.fullmatch(text)
        scheme = OTHER.match(text)
        if file is None and scheme is not None:
            raise StoreError(f"{scheme['scheme']}://…", "is no address of a store", FORMS)
        path = file["path"] if file is not None else text
        if path in ("", ":memory:"):
            raise StoreError(repr(text), "names no file, so nothing would be remembered", FORMS)
        place = real_path(path)
        if place.is_dir():
            raise StoreError(path, "is a folder", "name a file in it, e.g. store.sqlite")
        if not place.parent.is_dir():
            raise StoreError(path, "its folder does not exist", "make the folder, or check the path")
        return cls(URL.create("sqlite", database=str(place)), path, place)

    @classmethod
    def _of_server(cls, rest: str) -> Self:
        url = None
        if rest.count("@") < 2:  # the second one is of a password, of which a part would be taken for the host
            with suppress(ArgumentError, ValueError):
                url = make_url(f"postgresql+psycopg://{rest}")
        if url is None:
            fix = "write blanks and signs of a password as %20, %40, …"
            raise StoreError("postgresql://…", "is no address that can be read", fix)
        public = URL.create("postgresql", host=url.host, port=url.port, database=url.database)
        return cls(url, public.render_as_string(), None)
