"""The house holds: every file is in a room that docs/architecture.md names, and no import runs up or in a circle."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "reckon"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MOST_FILES = 15  # of one folder


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def imports_of(module):
    """Modules of reckon that a module imports anywhere: at its top, inside a function, for types alone."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    # `from reckon.a import b` is of a.b where that is a module, and of a where it is not.
    packages = {name.rpartition(".")[0] for name in found if name in MODULES}
    return {name for name in found if name in MODULES and name not in packages} - {module}


@cache
def rooms():
    """Prefixes of modules, lowest floor first, as the table of docs/architecture.md has them: [(floor, prefix)]."""
    rows = re.findall(r"^\| (`reckon[^|]*) \|", PAGE, re.MULTILINE)
    return [(floor, name) for floor, row in enumerate(rows) for name in re.findall(r"`(reckon[\w.]*)`", row)]


def room_of(module):
    """The longest prefix that fits: (floor, prefix). `reckon` itself is one file, not the room of whatever has none."""
    fits = [room for room in rooms() if module == room[1] or (room[1] != "reckon" and module.startswith(room[1] + "."))]
    return max(fits, key=lambda room: len(room[1]), default=None)


@pytest.mark.parametrize("module", MODULES)
def test_every_file_is_in_a_room_and_imports_from_its_floor_or_below(module):
    room = room_of(module)
    assert room is not None, f"docs/architecture.md names no room for {module}"
    above = {name: room_of(name) for name in imports_of(module) if room_of(name)[0] > room[0]}
    assert not above, f"{module} (floor {room[0]}) imports from above: {above}"


def test_no_modules_import_each_other_in_a_circle():
    done, path = set(), []

    def visit(module):
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            path.append(module)
            for other in sorted(imports_of(module)):
                visit(other)
            done.add(path.pop())

    for module in MODULES:
        visit(module)


def test_rooms_of_one_floor_do_not_import_each_other_both_ways():
    arrows = {(room_of(m)[1], room_of(n)[1]) for m in MODULES for n in imports_of(m)}
    assert not {(a, b) for a, b in arrows if a != b and (b, a) in arrows}


def test_no_folder_is_a_drawer():
    for folder in {path.parent for path in MODULES.values()}:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= MOST_FILES, f"{folder} holds {len(files)} files"
