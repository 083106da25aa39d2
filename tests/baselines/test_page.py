"""`docs/baselines.md` names every baseline, and its settings are those of the code."""

import re
from pathlib import Path

import pytest

from reckon.baselines import RANKING_BASELINES
from reckon.baselines.generative.title_writer import WriterConfig
from reckon.baselines.sequential.sequences import SequenceConfig
from reckon.config_docs import Setting, describe, markdown_table

PAGE = (Path(__file__).parents[2] / "docs" / "baselines.md").read_text(encoding="utf-8")
SHARED = {"sequential networks": SequenceConfig, "title writers": WriterConfig}
WITH_SETTINGS = [name for name, baseline in RANKING_BASELINES.items() if describe(baseline.CONFIG)]


def own_settings(name) -> list[Setting]:
    """Those that the baseline does not share with others of its family."""
    config = RANKING_BASELINES[name].CONFIG
    shared = {row.path for base in SHARED.values() if issubclass(config, base) for row in describe(base)}
    return [row for row in describe(config) if row.path not in shared]


def settings_block(name) -> str:
    """What the page holds between a baseline's two comments."""
    tuned = RANKING_BASELINES[name].SEARCH
    table = markdown_table(own_settings(name)) if own_settings(name) else ""
    values = "; ".join(f"`{field}` of {', '.join(str(value) for value in drawn)}" for field, drawn in tuned.items())
    return (
        f"{table}{chr(10) if table and values else ''}{f'Tuned by random search: {values}.{chr(10)}' if values else ''}"
    )


def block(title) -> str:
    return PAGE.partition(f"<!-- settings of {title} -->\n")[2].partition("<!-- end of settings -->")[0]


def test_the_overview_names_exactly_the_registered_baselines():
    overview = PAGE.partition("<!-- overview -->\n")[2].partition("<!-- end of overview -->")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", overview, re.MULTILINE) == list(RANKING_BASELINES)


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_the_settings_of_each_baseline_are_current(name):
    assert block(f"`{name}`") == settings_block(name), f"paste this:\n{settings_block(name)}"


@pytest.mark.parametrize("family", SHARED)
def test_shared_settings_are_current(family):
    table = markdown_table(describe(SHARED[family]))
    assert block(f"all {family}") == table, f"paste this:\n{table}"


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_every_setting_has_a_meaning_and_every_tuned_one_exists(name):
    baseline = RANKING_BASELINES[name]
    settings = {row.path: row for row in describe(baseline.CONFIG)}
    assert [path for path, row in settings.items() if not row.doc] == []
    assert set(baseline.SEARCH) <= set(settings)


@pytest.mark.parametrize("name", WITH_SETTINGS)
def test_every_tuned_value_is_allowed(name):
    baseline = RANKING_BASELINES[name]
    for field, values in baseline.SEARCH.items():
        for value in values:
            if "." not in field:
                baseline.CONFIG(**{field: value})
