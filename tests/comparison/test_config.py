"""A comparison's config: refused values, and the paths in errors."""

import pytest
import yaml

from reckon.baselines import RANKING_BASELINES
from reckon.baselines.rating.predictors import RATING_BASELINES
from reckon.comparison.config import ComparisonConfig, MethodConfig, load_comparison
from reckon.comparison.registry import contestant, contestants
from reckon.errors import ConfigError

TWO = [{"method": "popularity"}, {"method": "recent-popularity"}]


def load(tmp_path, overrides=(), **values):
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump({"methods": TWO} | values))
    return load_comparison(file, overrides)


def test_the_defaults_are_three_seeds_the_whole_catalog_and_the_first_method_as_baseline(tmp_path):
    config = load(tmp_path)
    assert config.seeds == (0, 1, 2) and config.protocol.negatives is None and config.protocol.exclude_seen
    assert config.compared_with == "popularity" and config.tests == ("hit@10", "ndcg@10")
    assert load(tmp_path, ks=[1, 3]).tests == ("hit@3", "ndcg@3")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"methods": TWO[:1]}, "methods"),
        ({"methods": [TWO[0], TWO[0]]}, r"methods\[1\].name"),
        ({"methods": [TWO[0], {"method": "popularity", "colour": 1}]}, r"methods\[1\].colour"),
        ({"methods": [TWO[0], {"name": "x"}]}, r"methods\[1\].method"),
        ({"seeds": [0, 1]}, "seeds"),
        ({"seeds": [0, 1, 1]}, "seeds"),
        ({"ks": [10, 5]}, "ks"),
        ({"ks": []}, "ks"),
        ({"baseline": "nobody"}, "baseline"),
        ({"tested": ["hit@7"]}, r"tested\[0\]"),
        ({"tested": ["hit@5", "ndcg@5", "hit@5"]}, r"tested\[2\]"),
        ({"published": [{"name": "P", "note": "n", "values": {"hit@3": 0.1}}]}, r"published\[0\].values.hit@3"),
        ({"published": [{"name": "P", "values": {"hit@5": 0.1}}]}, r"published\[0\].note"),
        (
            {"published": [{"name": "P", "note": "n", "values": {"hit@5": 0.1}}], "protocol": {"negatives": 4}},
            "published",
        ),
        ({"workers": 0}, "workers"),
        ({"protocol": {"split": "random"}}, "protocol.split"),
        ({"protocol": {"negatives": 0}}, "protocol.negatives"),
        ({"tuning": {"trials": -1}}, "tuning.trials"),
        ({"tuning": {"rows": 1}}, "tuning.rows"),
        ({"reasoning": {"rows": -1}}, "reasoning.rows"),
        ({"reasoning": {"rows": 1}}, "reasoning.rows"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(tmp_path, values, field):
    with pytest.raises(ConfigError, match=f"^{field} = "):
        load(tmp_path, **values)


def test_fewer_than_three_seeds_need_allow_few_seeds(tmp_path):
    assert load(tmp_path, seeds=[4], allow_few_seeds=True).seeds == (4,)
    assert load(tmp_path, ["seeds=[7]", "allow_few_seeds=true"]).seeds == (7,)


@pytest.mark.parametrize(
    ("method", "settings", "field"),
    [
        ("recent-popularity", {"day": 3}, "s.day"),
        ("recent-popularity", {"days": -1}, "s.days"),
        ("recent-popularity", {"days": "many"}, "s.days"),
        ("popularity", {"seed": 3}, "s.seed"),
        ("r2ec", {}, "s.backbone"),
        ("r2ec", {"backbone": "b", "preset": "huge"}, "s.preset"),
        ("r2ec", {"backbone": "b", "training": {"max_step": 3}}, "s.training.max_step"),
        ("r2ec", {"backbone": "b", "training.max_steps": 0}, "s.training.max_steps"),
        ("r2ec", {"backbone": "b", "arm": "full"}, "s.arm"),
        ("no-reasoning", {"backbone": "b", "head": {"exclude_seen": False}}, "s.head.exclude_seen"),
        ("rporec", {"backbone": "b", "rechead.exclude_seen": False}, "s.rechead.exclude_seen"),
        ("r2ec", {"backbone": "b", "rounds": 2}, "s.rounds"),
    ],
)
def test_a_wrong_setting_of_a_method_is_named_by_its_path(method, settings, field):
    with pytest.raises(ConfigError) as error:
        contestant(method, "m").settings_of(settings, "s")
    assert error.value.field == field


def test_settings_reach_the_method():
    found = contestant("no-reasoning", "m").settings_of(
        {"backbone": "b", "preset": "small", "training.max_steps": 7, "lora": {"r": 2}}, "s"
    )
    assert (found.config.arm, found.config.training.max_steps, found.config.lora.r) == ("no-reasoning", 7, 2)
    assert found.config.prompt.style == "compact"


def test_an_unknown_method_gets_the_nearest_name():
    with pytest.raises(ConfigError, match=r"^m\.method = 'populrity': is no method. Fix: did you mean popularity"):
        contestant("populrity", "m.method")


@pytest.mark.parametrize("name", contestants())
def test_every_method_accepts_its_own_search_space(name):
    found = contestant(name, "m")
    backbone = {} if name in (*RANKING_BASELINES, *RATING_BASELINES, "oracle") else {"backbone": "b"}
    backbone |= {"traces": "t"} if name == "recone" else {}
    for setting, values in found.search.items():
        for value in values:
            found.settings_of(backbone | {setting: value}, "s")


def test_a_config_can_be_made_in_code():
    rows = (MethodConfig(method="popularity"), MethodConfig(method="popularity", name="again"))
    assert [method.label for method in ComparisonConfig(methods=rows).methods] == ["popularity", "again"]
