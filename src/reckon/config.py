"""Settings: nested frozen dataclasses from YAML files and `--set section.field=value`.

Entry points: `load_config`, and `config_from` for a config inside another one. A section is a frozen dataclass; a field
that is itself a dataclass is a nested section. Values are converted by the field's type hint, so a wrong key or type
never reaches the code that uses it; what a value means is checked by the section's own `__post_init__`. Documentation
tables come from `reckon.config_docs`.

Written here because the libraries that do this (OmegaConf, pydantic, draccus, tyro) need their own base class or
word their errors their own way, and the error is the point: full path, expectation, value, nearest valid name.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import yaml

from reckon.errors import ConfigError
from reckon.files import write_text

T = TypeVar("T")
DEEPEST = 64  # levels of brackets in a file
Values = dict[str, Any]  # nested: a section is a dict, a value is what YAML gave


def load_config(cls: type[T], path: Path | None = None, overrides: Sequence[str] = (), base: T | None = None) -> T:
    """Build a config; each source wins over the one before: `base`, the file, the overrides.

    Args:
        cls: the frozen dataclass of the whole config.
        path: YAML file; only the fields it names change.
        overrides: `section.field=value` strings, the value in YAML syntax.
        base: where to start, e.g. a preset; the class's defaults when absent.

    Raises:
        ConfigError: an unknown key, a wrong type, a missing required field, unreadable YAML, or a rule of a section.
    """
    values: Values = {} if base is None else to_dict(base)
    if path is not None:
        _merge(cls, values, read_settings(Path(path)), "")
    for override in overrides:
        _merge(cls, values, _parse_override(override), "")
    return typing.cast(T, _build_section(cls, values, ""))


def config_from(cls: type[T], values: Values, base: T | None = None, path: str = "") -> T:
    """A config from values that are part of another file; errors name the field by its path there.

    Args:
        cls: the frozen dataclass.
        values: as YAML gave them; `a.b` as a key is field b of section a.
        base: where to start; the class's defaults when absent.
        path: where the values stand, e.g. `methods[2].settings`.
    """
    prefix = f"{path}." if path else ""
    merged: Values = {} if base is None else to_dict(base)
    for key, value in values.items():
        for part in reversed(str(key).split(".")):
            value = {part: value}
        _merge(cls, merged, value, prefix)
    try:
        return typing.cast(T, _build_section(cls, merged, prefix))
    except ConfigError as error:
        if error.field.startswith(prefix):
            raise
        raise ConfigError(prefix + error.field, error.value, error.rule, error.fix) from None


def to_dict(config: Any) -> Values:
    """The config as plain YAML values: sections to dicts, tuples to lists, paths to text."""
    return {field.name: plain_value(getattr(config, field.name)) for field in dataclasses.fields(config)}


def save_config(config: Any, path: Path) -> None:
    """Write the whole resolved config as YAML; a crash leaves the previous file, never half of the new one."""
    write_text(path, yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True))


def describe_type(hint: Any) -> str:
    """A type hint in words, e.g. `int | None` as 'a whole number or null'."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " | ".join(str(arg) for arg in args)
    if origin in (Union, types.UnionType):
        return " or ".join(describe_type(arg) for arg in args)
    if origin in (list, tuple, Sequence):
        inner = ", ".join(describe_type(arg) for arg in args if arg is not Ellipsis)
        inner = "sections" if inner == "a section" else inner
        return f"a list of {inner}" if origin is not tuple or Ellipsis in args else f"a list [{inner}]"
    if origin is dict:
        return f"a mapping to {describe_type(args[1])}"
    if dataclasses.is_dataclass(hint):
        return "a section"
    return _SCALARS.get(hint, str(hint))


_SCALARS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    type(None): "null",
}


def plain_value(value: Any) -> Any:
    """A setting as YAML holds it: sections as dicts, tuples as lists, paths as text."""
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if isinstance(value, dict):
        return {key: plain_value(item) for key, item in value.items()}
    return str(value) if isinstance(value, Path) else value


# --- Sources -------------------------------------------------------------------------------------------------------


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice; YAML itself would keep the last one without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key_node.value!r} is given twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def read_settings(path: Path) -> Values:
    """The mapping of a YAML file; empty where the file holds nothing.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    try:
        # Safe: the loader is a SafeLoader, it builds plain values only.
        values = yaml.load(_flat_enough(path.read_text(encoding="utf-8")), Loader=_StrictLoader)
    except OSError as error:
        raise ConfigError("config", str(path), f"cannot be read ({error.strerror})", "name a YAML file") from None
    except RecursionError:
        raise ConfigError("config", str(path), "is nested too deeply", "correct that place") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:  # a date such as 2024-99-99, a list as a key
        problem = " ".join(str(error).split())
        raise ConfigError("config", str(path), f"is not valid YAML: {problem}", "correct that place") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        fix = "start from what `reckon config METHOD --format yaml` prints"
        raise ConfigError("config", str(path), "must hold `section:` mappings", fix)
    return values


def _flat_enough(text: str) -> str:
    """The text, unless brackets are nested deeper than any setting; YAML's time grows with the square of the depth."""
    depth = 0
    for char in text:
        depth += (char in "[{") - (char in "]}")
        if depth > DEEPEST:
            raise RecursionError
    return text


def _parse_override(text: str) -> Values:
    key, equals, raw = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        fix = "write the setting's full name, an equals sign and the value"
        raise ConfigError("--set", text, "must have the form setting=value", fix)
    try:
        value = yaml.load(raw, Loader=_StrictLoader)
    except yaml.YAMLError:
        value = raw.strip()  # text with YAML's own signs in it, e.g. `a: b: c`
    for part in reversed(key.split(".")):
        value = {part: value}
    return typing.cast(Values, value)


def _merge(cls: Any, into: Values, source: Values, prefix: str) -> None:
    """Write `source` over `into`, section by section, refusing names that the section does not have."""
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls) if field.init]
    for key, value in source.items():
        if key not in names:
            raise _unknown_key(prefix, str(key), value, names)
        section = section_of(hints[key])
        if section is not None and isinstance(value, dict):
            if not isinstance(into.get(key), dict):
                into[key] = {}
            _merge(section, into[key], value, f"{prefix}{key}.")
        else:
            into[key] = value


def _unknown_key(prefix: str, key: str, value: Any, names: list[str]) -> ConfigError:
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    fix = f"did you mean {prefix}{near[0]}" if near else f"valid names are {', '.join(names)}"
    path = f"{prefix}{key}"
    while isinstance(value, dict) and len(value) == 1:  # `--set trainin.max_steps=5` is shown as it was typed
        ((inner, value),) = value.items()
        path += f".{inner}"
    return ConfigError(path, value, "there is no such setting", fix)


def section_of(hint: Any) -> Any | None:
    """The dataclass behind `Section` or `Section | None`; None for a plain value."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
    return next((option for option in options if dataclasses.is_dataclass(option)), None)


# --- Values to typed fields ----------------------------------------------------------------------------------------


def _build_section(cls: Any, values: Any, prefix: str) -> Any:
    path = prefix.removesuffix(".")
    if not isinstance(values, Mapping):
        raise ConfigError(path, values, "this is a section", f"set one of its fields, e.g. {prefix}field=value")
    hints = typing.get_type_hints(cls)
    fields = [field for field in dataclasses.fields(cls) if field.init]
    for key, value in values.items():
        if key not in hints:
            raise _unknown_key(prefix, str(key), value, [field.name for field in fields])
    arguments = {}
    for field in fields:
        if field.name in values:
            arguments[field.name] = _convert(hints[field.name], values[field.name], f"{prefix}{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            expected = describe_type(hints[field.name])
            raise ConfigError(f"{prefix}{field.name}", None, "has no default and was not given", f"give {expected}")
    return cls(**arguments)


def _convert(hint: Any, value: Any, path: str) -> Any:
    """The value as the hinted type, or ConfigError. Only conversions that lose nothing are made."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(hint, args, value, path)
    if origin is Literal:
        # By type too: `True == 1`, and YAML 1.1 reads a bare `off` as False.
        if not any(value == arg and type(value) is type(arg) for arg in args):
            near = difflib.get_close_matches(str(value), [str(arg) for arg in args], n=1)
            options = describe_type(hint)
            raise ConfigError(path, value, f"must be one of {options}", f"set it to {near[0] if near else args[0]}")
        return value
    if dataclasses.is_dataclass(hint):
        return _build_section(hint, value, f"{path}.")
    if origin in (list, tuple, Sequence) and isinstance(value, list | tuple):
        return _convert_list(hint, origin, args, value, path)
    if origin is dict and isinstance(value, dict):
        return {str(key): _convert(args[1], item, f"{path}.{key}") for key, item in value.items()}
    return _convert_scalar(hint, value, path)


def _convert_union(hint: Any, args: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in args:
        return None
    options = [arg for arg in args if arg is not type(None)]
    if len(options) == 1:  # Optional: the inner error says more than "none of these fits"
        return _convert(options[0], value, path)
    for option in options:
        if type(value) is option:
            return value
    for option in options:
        try:
            return _convert(option, value, path)
        except ConfigError:
            continue
    raise _wrong_type(path, value, hint)


def _convert_list(hint: Any, origin: Any, args: tuple[Any, ...], value: Sequence[Any], path: str) -> Any:
    if origin is tuple and Ellipsis not in args:
        if len(value) != len(args):
            raise ConfigError(path, value, f"expected {len(args)} values, got {len(value)}", describe_type(hint))
        return tuple(_convert(arg, item, f"{path}[{i}]") for i, (arg, item) in enumerate(zip(args, value, strict=True)))
    items = [_convert(args[0], item, f"{path}[{i}]") for i, item in enumerate(value)]
    return items if origin is list else tuple(items)


def _convert_scalar(hint: Any, value: Any, path: str) -> Any:
    number = _number(value)
    if hint is float and number is not None:
        if math.isnan(number):  # it would pass every `if x <= 0` check of a section
            raise ConfigError(path, value, "must be a number, and NaN is none", "give a number")
        return number
    if hint is Path and isinstance(value, str | Path):
        return Path(value)
    # `True` is an int in Python; a switch where a number belongs is a mistake.
    plain = hint in (bool, str) or (hint is int and not isinstance(value, bool))
    if plain and isinstance(value, hint):
        return value
    raise _wrong_type(path, value, hint)


def _number(value: Any) -> float | None:
    """A float from a number, or from text such as `1e-5`, which YAML 1.1 reads as text for want of a dot."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _wrong_type(path: str, value: Any, hint: Any) -> ConfigError:
    got = "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else None
    got = got or _SCALARS.get(type(value), type(value).__name__)
    fix = f"give {describe_type(hint)}"
    if hint is str:
        fix += f", in quotes: '{value}'"
    return ConfigError(path, value, f"expected {describe_type(hint)}, got {got}", fix)
