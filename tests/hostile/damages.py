"""Ways to damage one file: its bytes, its JSON, its tensors, its rows, its settings; or to put another in its place.

Entry point: `damage`.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

WRONG: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**30, "", "x", "\x1b[31mred", "x" * 5_000, [], [1, None], {}, {"a": {"b": None}}, "1e999",
)  # fmt: skip
DEEP = "[" * 50_000
JSON_ENDS = ("", "null", "{}", "[]", "3", '"text"', DEEP, '{"a": ' * 3_000, '{"a": 1}', "\ufeff{}", '{"a": 1, "a": 2}')


def damage(file: Path, other: Path | None, rng: random.Random) -> str:
    """Damage a file in place; returns what was done in words.

    Args:
        file: the file.
        other: a file of the same name of another run.
        rng: chooses.
    """
    ways = ["bytes", "bytes", *(["other"] if other is not None else [])]
    ways += [file.suffix] * 4 if file.suffix in OF_KIND else []
    way = rng.choice(ways)
    if way == "other":
        assert other is not None
        file.write_bytes(other.read_bytes())
        return "that of another run"
    if way == "bytes":
        return _bytes(file, rng)
    return OF_KIND[way](file, rng)


def _bytes(file: Path, rng: random.Random) -> str:
    data = bytearray(file.read_bytes())
    place = rng.randrange(max(1, len(data)))
    what = rng.choice(("flip", "flip", "flip", "cut", "empty", "gone", "more", "other", "zeros", "folder"))
    match what:
        case "flip":
            for _ in range(rng.choice((1, 1, 1, 5))):
                if data:
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case "cut":
            del data[place:]
        case "empty":
            data.clear()
        case "more":
            data += rng.randbytes(9)
        case "other":
            data[:] = rng.randbytes(len(data) or 9)
        case "zeros":
            data[place : place + 50] = bytes(len(data[place : place + 50]))
        case "gone" | "folder":
            file.unlink()
            if what == "folder":
                file.mkdir()
            return what
    file.write_bytes(data)
    return f"bytes {what} at {place}"


def _json(file: Path, rng: random.Random) -> str:
    if rng.random() < 0.3:
        text = rng.choice(JSON_ENDS)
        file.write_text(text)
        return f"JSON {text[:20]!r}"
    value = json.loads(file.read_text())
    what = _change(value, rng)
    file.write_text(json.dumps(value))
    return f"JSON {what}"


def _change(value: Any, rng: random.Random) -> str:
    """Change one entry somewhere below a value."""
    spots = list(_spots(value))
    if not spots:
        return "unchanged"
    whole, name = rng.choice(spots)
    what = rng.choice(("wrong", "wrong", "wrong", "drop", "deep", "add"))
    if what == "drop":
        del whole[name]
    elif what == "add" and isinstance(whole, dict):
        whole[f"{name} more"] = rng.choice(WRONG)
    elif what == "deep":
        nested: Any = 0
        for _ in range(rng.choice((40, 100))):
            nested = [nested]
        whole[name] = nested
    else:
        whole[name] = rng.choice(WRONG)
    return f"{what} {str(name)[:30]}"


def _spots(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    names = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for name in names:
        found.append((value, name))
        found += _spots(value[name])
    return found


def _yaml(file: Path, rng: random.Random) -> str:
    if rng.random() < 0.3:
        text = rng.choice((*JSON_ENDS, "a: *b", "? [a]\n: 1", "!!python/object:os.system x", "a: 2024-99-99", "\t"))
        file.write_text(text)
        return f"YAML {text[:20]!r}"
    value = yaml.safe_load(file.read_text())
    what = _change(value, rng)
    file.write_text(yaml.safe_dump(value, sort_keys=False))
    return f"YAML {what}"


def _tensors(file: Path, rng: random.Random) -> str:
    with safe_open(file, framework="pt") as stored:
        metadata = stored.metadata()
        tensors = {name: stored.get_tensor(name) for name in sorted(stored.keys())}
    name = rng.choice(sorted(tensors))
    value = tensors[name]
    what = rng.choice(("drop", "more", "scale", "shape", "nan", "type", "rename", "flip", "metadata"))
    match what:
        case "drop":
            del tensors[name]
        case "more":
            tensors[f"{name}.more"] = value.clone()
        case "scale":
            tensors[name] = (value * 2).to(value.dtype)
        case "shape":
            tensors[name] = value.flatten()[: max(1, value.numel() - 1)].clone()
        case "nan":
            tensors[name] = value.float() * torch.nan
        case "type":
            tensors[name] = value.to(rng.choice((torch.int64, torch.float16, torch.bool)))
        case "rename":
            tensors["x" * 40] = tensors.pop(name)
        case "flip":
            tensors[name] = value.flip(0).contiguous()
        case "metadata":
            metadata = rng.choice((None, {"format": "tf"}, {key: "x" for key in metadata or {"format": ""}}))
    save_file(tensors, file, metadata=metadata)
    return f"tensor {what} {name}"


def _rows(file: Path, rng: random.Random) -> str:
    table = pq.read_table(file)
    name = rng.choice(table.column_names)
    column, place = table[name], table.column_names.index(name)
    what = rng.choice(("permute", "fewer", "drop", "null", "number", "twice", "none", "rename"))
    match what:
        case "permute":
            order = list(range(len(table)))
            rng.shuffle(order)
            table = table.set_column(place, name, column.take(order))
        case "fewer":
            table = table.slice(0, len(table) - rng.randint(1, len(table)))
        case "drop":
            table = table.drop_columns([name])
        case "null":
            table = table.set_column(place, name, pa.nulls(len(table), column.type))
        case "number":
            table = table.set_column(place, name, pa.array(range(len(table)), pa.int64()))
        case "twice":
            table = table.append_column(name, column)
        case "none":
            table = pa.table({})
        case "rename":
            table = table.rename_columns(["x" if one == name else one for one in table.column_names])
    pq.write_table(table, file)
    return f"rows {what} {name}"


OF_KIND: dict[str, Callable[[Path, random.Random], str]] = {
    ".json": _json, ".yaml": _yaml, ".safetensors": _tensors, ".parquet": _rows,
}  # fmt: skip
