"""Where data sets come from: one file per source, all with the interface of `Source`.

A source only reads. Filters, the order of events, splits and writing are the same for all
(`reckon.data.prepare.prepare`).
"""

from typing import Any, Protocol

from reckon.data.prepare.workspace import Workspace
from reckon.data.scale import Scale
from reckon.data.splits import Protocol as SplitProtocol


class Source(Protocol):
    """One kind of input with its settings."""

    @property
    def name(self) -> str:
        """As on the command line."""
        ...

    @property
    def words(self) -> dict[str, str]:
        """What prompts call its items and actions, unless the user says otherwise."""
        ...

    @property
    def split(self) -> SplitProtocol:
        """The split used unless the user says otherwise."""
        ...

    @property
    def unknown_items(self) -> str:
        """`error`, `drop` or `add`: what an interaction without an item means, unless the user says otherwise."""
        ...

    @property
    def scale(self) -> Scale | None:
        """Of its ratings; None where the ratings themselves tell it."""
        ...

    def load(self, workspace: Workspace) -> dict[str, Any]:
        """Fill the workspace's tables; return a record of the input (settings, files) for the manifest."""
        ...
