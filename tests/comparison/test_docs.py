"""docs/compare.md and the shipped files: documented configs are accepted, quoted errors are real."""

import re
from pathlib import Path

import pytest
import yaml
from support import rated_shelf

from reckon.comparison.config import ComparisonConfig, MethodConfig, load_comparison
from reckon.comparison.rating.rows import rating_rows_of
from reckon.comparison.registry import contestant
from reckon.comparison.shipped import shipped_file, shipped_names
from reckon.config import config_from
from reckon.data.ratings import DEFAULT_WINDOW
from reckon.errors import ConfigError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
SHIPPED = [shipped_file(name) for name in shipped_names()]


def checked(config):
    for place, method in enumerate(config.methods):
        found = contestant(method.method, f"methods[{place}].method")
        found.settings_of(method.settings, f"methods[{place}].settings")


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_every_shipped_comparison_is_accepted(file):
    checked(load_comparison(file))
    assert load_comparison(file, ["tuning.trials=16"]).tuning.trials == 16  # as the help of the command says


@pytest.mark.parametrize("task", ["ranking", "rating"])
def test_the_documented_file_is_a_comparison(task):
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (config,) = [one for block in blocks if (one := config_from(ComparisonConfig, yaml.safe_load(block))).task == task]
    checked(config)


def test_the_text_regression_reads_the_window_of_the_rows(tmp_path):
    data = rated_shelf.dataset(tmp_path / "data")
    examples = rating_rows_of(data, "test", None).examples
    assert examples.window == examples.item_window == DEFAULT_WINDOW
    assert f"of the latest {DEFAULT_WINDOW} ratings of user and item" in " ".join(PAGE.split())


def test_the_quoted_error_is_the_real_one():
    with pytest.raises(ConfigError) as error:
        contestant("sasrec", "m").settings_of({"layer": 2}, "methods[2].settings")
    assert f"reckon: {error.value}\n" in PAGE


def test_the_quoted_refusal_of_both_tasks_is_the_real_one():
    with pytest.raises(ConfigError) as error:
        ComparisonConfig(methods=(MethodConfig(method="bias"), MethodConfig(method="popularity")))
    assert f"reckon: {error.value}\n" in PAGE


def test_the_shipped_files_are_there_and_say_what_they_are():
    names = shipped_names()
    assert {"baselines", "bookshop", "ratings"} <= set(names)
    assert all(20 < len(about) < 120 and "reckon compare" not in about for about in names.values()), names


def test_a_shipped_comparison_is_known_by_its_name_and_a_file_wins_over_it(tmp_path, monkeypatch):
    assert load_comparison(Path("bookshop")) == load_comparison(shipped_file("bookshop"))
    monkeypatch.chdir(tmp_path)
    Path("bookshop").write_text("methods: [{method: popularity}, {method: ease}]\n")
    assert [method.method for method in load_comparison(Path("bookshop")).methods] == ["popularity", "ease"]
    with pytest.raises(ConfigError, match=r"movie\.yaml.*neither a file nor .*Fix: did you mean movielens"):
        load_comparison(Path("movie.yaml"))
