"""The runs of an evaluation: unique names, one data set, each run loaded once.

Entry point: `Runs.open`. `Runs.about` returns the provenance.
"""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from reckon.checksums import check_newest
from reckon.data import Dataset
from reckon.data.splits import Split
from reckon.errors import CheckpointError
from reckon.evaluation.result import About, SampledGroup, SampledReply
from reckon.methods.finished import data_path_of, name_of, names_of, title_of
from reckon.methods.registry import METHODS
from reckon.runs.read import check_trained_on, dataset_of, facts_of, histories_of, manifest_of


class Trained(Protocol):
    """A trained model with the path of its data set."""

    data_path: Path | None


ModelT = TypeVar("ModelT", bound=Trained)


@dataclass(frozen=True, slots=True)
class Runs(Generic[ModelT]):
    """The run to evaluate, and the runs beside it."""

    path: Path
    """Directory of the evaluated run."""
    named: dict[str, Path]
    """Directories by name, in the order of tables; the evaluated run is last."""
    model: ModelT
    """Model of the evaluated run."""
    dataset: Dataset
    load: Callable[[Path], ModelT]

    @classmethod
    def open(
        cls, run: Path, beside: Sequence[str | Path], data: str | Path | None, load: Callable[[Path], ModelT]
    ) -> "Runs[ModelT]":
        """Load the run and its data, and check that all runs were trained on that data.

        Raises:
            CheckpointError: a run is not finished, is given twice, or was trained on other data or another split.
        """
        named = names_of(run, [Path(path) for path in beside])
        dataset = dataset_of(run, data_path_of(run), data)
        for path in named.values():
            check_trained_on(path, dataset)
        return cls(run, named, load(run), dataset, load)

    @property
    def name(self) -> str:
        """Name of the evaluated run in tables."""
        return name_of(self.path)

    def models(self) -> Iterator[tuple[str, ModelT]]:
        """All models with their names; the others are loaded one at a time, the evaluated run's model comes last."""
        for name, path in self.named.items():
            yield name, self.model if path == self.path else self.load(path)

    def about(self, split: Split, rows: int, options: Sequence[str], seconds: float) -> About:
        """Provenance of an evaluation of these runs; `options` are options of its command besides `--split` and
        `--beside`."""
        manifest = manifest_of(self.path)
        beside = [part for path in self.named.values() if path != self.path for part in ("--beside", str(path))]
        asked = ["reckon", "evaluate", str(self.path), "--split", split, *options, *beside, "--data"]
        return About(
            method=title_of(self.path),
            run=self.path.resolve().name,
            data=self.dataset.path.resolve().name,
            source=self.dataset.info["source"].get("name", "data"),
            split=split,
            rows=rows,
            catalog_size=len(self.dataset.catalog),
            commands=[*self._training(manifest), shlex.join([*asked, str(self.dataset.path)])],
            facts=facts_of(self.path),
            histories=histories_of(self.named),
            group=sampled_group(self.path),
            seconds=seconds,
        )

    def _training(self, manifest: dict[str, str]) -> list[str]:
        method = manifest["method"]
        if method not in METHODS or METHODS[method].options:
            return []  # it used inputs (traces, another run) that the manifest does not name
        options = {
            "--data": self.dataset.path,
            "--backbone": manifest["backbone"],
            "--config": self.path / "config.yaml",
            "--arm": manifest["arm"],
            "--out": f"{self.path}-again",
        }
        return [shlex.join(["reckon", "train", method, *(str(part) for one in options.items() for part in one)])]


def sampled_group(run: Path) -> SampledGroup | None:
    """Of the last step with kept trajectories, the first group whose rewards differ, or simply the first; None if the
    run kept none.

    Raises:
        CheckpointError: the trajectories are damaged.
    """
    parts = sorted((run / "trajectories").glob("part-*.parquet"))
    check_newest(run / "trajectories", [part.name for part in parts])
    if not parts:
        return None
    try:
        return _first_group(pq.read_table(parts[-1]).to_pylist())
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        fix = "copy the whole folder again, or remove this file: it is only shown"
        raise CheckpointError(parts[-1], f"is damaged ({error})", fix) from None


def _first_group(rows: list[dict[str, Any]]) -> SampledGroup:
    last = max(row["step"] for row in rows)
    rows = [row for row in rows if row["step"] == last]
    # Rows of a group are contiguous and share user and target.
    keys = [key for key in ("user_id", "target", "item_id") if key in rows[0]]
    groups = [list(group) for _, group in groupby(rows, key=lambda row: [row[key] for key in keys])]
    group = next((one for one in groups if len({row["reward"] for row in one}) > 1), groups[0])
    mean = sum(row["reward"] for row in group) / len(group)
    replies = [
        SampledReply(
            row["reply"] if "reply" in row else row["reasoning"], row["reward"], row["reward"] - mean, row["finish"]
        )
        for row in group
    ]
    return SampledGroup(last, str(group[0]["user_id"]), sorted(replies, key=lambda reply: -reply.reward))
