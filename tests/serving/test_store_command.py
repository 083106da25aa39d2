"""`reckon store`, against real SQLite files."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from reckon.cli import app
from reckon.serving.store.records import Item, User
from reckon.serving.store.store import Store


def run(*words):
    return CliRunner().invoke(app, ["store", *map(str, words)], catch_exceptions=False)


@pytest.fixture
def url(tmp_path):
    path = tmp_path / "shop.sqlite"
    with Store.open(str(path)) as store:
        store.items.put([Item("a", "Title")])
        store.users.put([User("u"), User("v")])
    return path


def test_a_dump_is_restored_into_a_new_store(url, tmp_path):
    file, new = tmp_path / "shop.jsonl", tmp_path / "new.sqlite"
    said = run("dump", url, file)
    assert (said.exit_code, said.output) == (0, f"Wrote {file}: 3 records of {url}\n")
    said = run("restore", file, new)
    assert (said.exit_code, said.output) == (0, f"Restored 3 records into {new}\n")
    with Store.open(str(new), create=False) as store:
        assert store.items.get("a").title == "Title"
    said = run("restore", file, new)
    assert said.exit_code == 2 and "is not empty" in said.output


def test_a_store_that_does_not_exist_is_not_made_by_reading_it(tmp_path):
    for words in (("dump", tmp_path / "no.sqlite", tmp_path / "f"), ("purge", tmp_path / "no.sqlite", "--user", "u")):
        said = run(*words)
        assert said.exit_code == 2 and "does not exist" in said.output
    assert not list(tmp_path.iterdir())


def test_purge_says_of_whom_something_was_kept(url):
    said = run("purge", url, "--user", "v", "--user", "nobody")
    assert (said.exit_code, said.output) == (0, "v: deleted\nnobody: nothing is kept of this user\n")
    with Store.open(str(url)) as store:
        assert [user.id for user in store.users.all()] == ["u"]
    assert run("purge", url).exit_code == 2


def test_migrate_tells_the_version(url, tmp_path):
    assert run("migrate", url).output == "The store has version 0001 already.\n"
    assert run("migrate", tmp_path / "new.sqlite").output == "The store has version 0001 now.\n"


def test_without_the_extra_its_name_is_said(url):
    """In a process of its own: what is imported once stays imported."""
    source = (
        "import sys; sys.modules['sqlalchemy'] = None; sys.argv = ['reckon', 'store', 'migrate', sys.argv[1]]\n"
        "from reckon.cli import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", source, str(url)], capture_output=True, text=True)
    assert ended.returncode == 2
    assert "pip install 'reckon-recsys[serve]'" in ended.stderr and ended.stderr.count("\n") == 1
