"""Read a JSON file that Reckon wrote, and refuse one whose content has another shape.

Entry point: `read_json`. A shape is a type (None for null; a whole number is a float, too), a tuple of possible shapes,
`[shape]` for a list, `Each(shape)` for an object with any names, or a dict of the entries that an object must have,
those in `Maybe` only if they are there. Further entries are allowed.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reckon.errors import CheckpointError, ReckonError

COPY_AGAIN = "copy the whole folder again"
DEEPEST = 32  # levels of nesting; Reckon writes 5
NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class Each:
    """An object with any names, each of whose values has a shape."""

    shape: Any


@dataclass(frozen=True, slots=True)
class Maybe:
    """An entry that may be absent."""

    shape: Any


def read_json(
    path: Path,
    shape: Any,
    *,
    error: Callable[[str, str, str], ReckonError] = CheckpointError,
    fix: str = COPY_AGAIN,
) -> Any:
    """The value of a JSON file.

    Args:
        path: the file.
        shape: what it must hold.
        error: class of the error.
        fix: what the error tells to do.

    Raises:
        ReckonError: of the class `error`: the file is missing, is not JSON, is nested too deeply, or has another shape.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        problem = _too_deep(value) or _misfit(value, shape, "")
    except (FileNotFoundError, NotADirectoryError):
        problem = "is missing"
    except IsADirectoryError:
        problem = "is a folder, not a file"
    except RecursionError:
        problem = "is damaged (nested too deeply)"
    except ValueError as reason:  # of the encoding, of JSON, or of a number with thousands of digits
        problem = f"is damaged (no JSON: {reason})"
    if problem:
        raise error(str(path), problem, fix) from None
    return value


def _too_deep(value: Any) -> str:
    level = [value]
    for _ in range(DEEPEST):
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return ""
    return "is damaged (nested too deeply)"


def _parts(whole: Any) -> list[Any]:
    if isinstance(whole, dict):
        return list(whole.values())
    return whole if isinstance(whole, list) else []


def _misfit(value: Any, shape: Any, at: str) -> str:
    """What is wrong with a value, in words; empty where nothing is."""
    if isinstance(shape, Each):
        return _misfit(value, dict, at) or _first(_misfit(one, shape.shape, f"{at}.{n}") for n, one in value.items())
    if isinstance(shape, list):
        return _misfit(value, list, at) or _first(_misfit(one, shape[0], f"{at}[{n}]") for n, one in enumerate(value))
    if isinstance(shape, dict):
        return _misfit(value, dict, at) or _first(_entry(value, name, one, at) for name, one in shape.items())
    if isinstance(shape, tuple):
        problems = [_misfit(value, one, at) for one in shape]
        return problems[0] if all(problems) else ""
    kind = type(None) if shape is None else shape
    if _is(value, kind):
        return ""
    return f"is damaged ({at.lstrip('.') or 'it'} must be {NAMES[kind]}, and is {NAMES[type(value)]})"


def _entry(value: dict[str, Any], name: str, shape: Any, at: str) -> str:
    if name not in value:
        return "" if isinstance(shape, Maybe) else f"is damaged (it has no {f'{at}.{name}'.lstrip('.')})"
    return _misfit(value[name], shape.shape if isinstance(shape, Maybe) else shape, f"{at}.{name}")


def _is(value: Any, kind: Any) -> bool:
    if kind is object:
        return True
    if isinstance(value, bool):  # True is an int in Python
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _first(problems: Any) -> str:
    return next((problem for problem in problems if problem), "")
