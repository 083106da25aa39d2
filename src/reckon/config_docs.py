"""Tables of every setting, read from the string literal beneath each field of a config dataclass.

Entry point: `describe`. `reckon config METHOD` prints its rows and `docs/configuration.md` holds them as Markdown
(`markdown_table`); a test compares the two, so the page cannot drift from the code.
"""

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from reckon.config import describe_type, plain_value, section_of


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of a config."""

    path: str
    """Full name as `--set` takes it, e.g. `rollout.temperature`."""
    type: str
    """What it accepts, in words."""
    default: str
    """In YAML syntax; 'required' where there is none."""
    doc: str
    """The field's docstring on one line; empty where it has none."""


def describe(cls: Any, base: Any | None = None) -> list[Setting]:
    """Every setting of a config class, nested sections in place.

    Args:
        cls: a config dataclass.
        base: show this config's values as the defaults, e.g. a preset.
    """
    return _rows(cls, base, "")


def markdown_table(settings: Sequence[Setting]) -> str:
    """The settings as a Markdown table."""
    lines = ["| setting | accepts | default | meaning |", "| --- | --- | --- | --- |"]
    for row in settings:
        cells = (f"`{row.path}`", row.type, f"`{row.default}`", row.doc)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def field_docs(cls: Any) -> dict[str, str]:
    """The string literal beneath each field, base classes included, whitespace joined."""
    docs: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if dataclasses.is_dataclass(owner):
            docs |= _docs_of_one_class(owner)
    return docs


def _docs_of_one_class(cls: Any) -> dict[str, str]:
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError):  # no source, e.g. a class made at the prompt
        return {}
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            docs[statement.target.id] = " ".join(str(following.value.value).split())
    return docs


def _rows(cls: Any, base: Any | None, prefix: str) -> list[Setting]:
    hints, docs = typing.get_type_hints(cls), field_docs(cls)
    rows: list[Setting] = []
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        default = _default(field) if base is None else getattr(base, field.name)
        section = section_of(hints[field.name])
        path = f"{prefix}{field.name}"
        if section is not None:
            rows += _rows(section, default if dataclasses.is_dataclass(default) else None, f"{path}.")
        else:
            rows.append(Setting(path, describe_type(hints[field.name]), _yaml(default), docs.get(field.name, "")))
    return rows


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _yaml(value: Any) -> str:
    if value is dataclasses.MISSING:
        return "required"
    text = yaml.safe_dump(plain_value(value), default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...").strip()
