"""Module names and paths in the documentation exist."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = "|".join(path.name for path in sorted((ROOT / "src" / "reckon").iterdir()) if path.is_dir())
PATH = re.compile(
    rf"(?<![\w/.-])((?:src/reckon|tests|benchmarks|examples|docs|{FOLDERS})/[\w/-]+\.(?:py|md|ya?ml|json))\b"
)


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute chain of one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_named_in_the_docs_exists(page):
    names = set(re.findall(r"\breckon(?:\.[A-Za-z_]\w*)+", page.read_text(encoding="utf-8")))
    assert [name for name in sorted(names) if not exists(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_of_the_repository_named_in_the_docs_exists(page):
    paths = set(PATH.findall(page.read_text(encoding="utf-8")))
    known = (ROOT, ROOT / "src" / "reckon", ROOT / "docs")
    assert [path for path in sorted(paths) if not any((folder / path).exists() for folder in known)] == []
