"""The task, the data path and the table name of a finished run of any method.

Entry points: `task_of`, `data_path_of`, `name_of`, `names_of`. Loads no model;
`reckon.methods.registry.load_ranking_model` does.
"""

from collections.abc import Sequence
from pathlib import Path

from reckon.errors import CheckpointError
from reckon.json_file import read_json
from reckon.methods.method import Task
from reckon.methods.registry import METHODS, method_of
from reckon.runs.read import manifest_of


def task_of(run: Path) -> Task:
    """Task of a finished run: rank the catalog, or predict ratings. Raises CheckpointError where there is no finished
    run."""
    return method_of(run).task


def data_path_of(run: Path) -> Path | None:
    """Where the data set of a finished run was when it was trained; None where the run does not say."""
    recorded = read_json(run / method_of(run).saved_as, {"data": (str, None)})["data"]
    return Path(recorded) if recorded else None


def title_of(run: Path) -> str:
    """Title of the run's method."""
    name = manifest_of(run)["method"]
    return METHODS[name].title if name in METHODS else str(name)


def name_of(run: Path) -> str:
    """Name of the run's method and arm in tables, with the stage for a method trained in stages. A method or arm
    unknown to this version keeps its name from the manifest."""
    manifest = manifest_of(run)
    arms = METHODS[manifest["method"]].arms if manifest["method"] in METHODS else {}
    name = arms.get(manifest["arm"], manifest["arm"])
    return f"{name}, {manifest['stage']}" if "stage" in manifest else name


def names_of(run: Path, beside: Sequence[Path] = ()) -> dict[str, Path]:
    """Runs by unique names, in the order of tables: those of `beside`, then the run itself, which keeps its name.

    A run with a name already in use gets its directory's name added: `reczero (seed-1)`.

    Raises:
        CheckpointError: a run is not finished, is given twice, or has another task than the first.
    """
    taken, seen, named = {name_of(run)}, {run.resolve()}, dict[str, Path]()
    for path in beside:
        if path.resolve() in seen:
            raise CheckpointError(path, "is given twice", "name each run once")
        if task_of(path) != task_of(run):
            raise CheckpointError(path, f"has another task than {run}", "compare rankings with rankings only")
        name = name_of(path)
        for further in (path.name, str(path)):
            name = f"{name_of(path)} ({further})" if name in taken else name
        taken.add(name)
        seen.add(path.resolve())
        named[name] = path
    return named | {name_of(run): run}
