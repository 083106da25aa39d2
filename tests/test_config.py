"""Config loading: every wrong setting is refused with its full path, the expectation and the nearest valid name."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from reckon.config import describe_type, load_config, save_config, to_dict
from reckon.config_docs import describe, markdown_table
from reckon.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSection:
    """LoRA."""

    rank: int = 16
    """Rank of the update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSection:
    """How to train. Section `training`."""

    max_steps: int = 100
    """Optimizer steps,
    at least 1."""

    learning_rate: float = 1e-4
    """Peak learning rate."""

    schedule: Literal["constant", "cosine", "off"] = "cosine"
    betas: tuple[float, float] = (0.9, 0.999)
    ks: tuple[int, ...] = (5, 10)
    bf16: bool = False
    warmup: int | None = None
    """Steps of warm-up; null for none."""
    name: str = "run"
    cache: Path | None = None
    limit: int | str = 3
    weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_steps < 1:
            raise ConfigError("training.max_steps", self.max_steps, "training needs a step", "set it to 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole."""

    training: TrainingSection = field(default_factory=TrainingSection)
    lora: LoraSection | None = field(default_factory=LoraSection)
    seed: int = 0
    """Seed of everything."""


def load(*overrides: str, yaml: str | None = None, tmp_path: Path | None = None) -> Config:
    path = None
    if yaml is not None and tmp_path is not None:
        path = tmp_path / "run.yaml"
        path.write_text(yaml)
    return load_config(Config, path, overrides)


def test_defaults_come_from_the_class():
    assert load() == Config()


def test_a_later_source_wins_and_leaves_other_fields_alone(tmp_path):
    base = Config(training=TrainingSection(max_steps=7, name="preset"), seed=3)
    path = tmp_path / "run.yaml"
    path.write_text("training:\n  max_steps: 8\n  bf16: true\n")
    config = load_config(Config, path, ["training.max_steps=9"], base)
    assert (config.training.max_steps, config.training.bf16) == (9, True)
    assert (config.training.name, config.seed) == ("preset", 3)


@pytest.mark.parametrize(
    ("override", "name", "value"),
    [
        ("training.learning_rate=1e-5", "learning_rate", 1e-5),  # YAML 1.1 reads 1e-5 as text
        ("training.learning_rate=1", "learning_rate", 1.0),
        ("training.betas=[0, 1e-1]", "betas", (0.0, 0.1)),
        ("training.ks=[1]", "ks", (1,)),
        ("training.warmup=null", "warmup", None),
        ("training.warmup=4", "warmup", 4),
        ("training.schedule='off'", "schedule", "off"),
        ("training.name=a: b: c", "name", "a: b: c"),
        ("training.name=Qwen/Qwen2.5-0.5B", "name", "Qwen/Qwen2.5-0.5B"),
        ("training.cache=/tmp/x", "cache", Path("/tmp/x")),
        ("training.limit=many", "limit", "many"),
        ("training.weights.fused=2", "weights", {"fused": 2.0}),
    ],
)
def test_set_reads_yaml_values_by_the_field_type(override, name, value):
    got = getattr(load(override).training, name)
    assert got == value
    assert type(got) is type(value)


def test_a_section_can_be_switched_off_and_on_again():
    off = load("lora=null")
    assert off.lora is None
    assert load_config(Config, overrides=["lora.rank=4"], base=off).lora == LoraSection(rank=4)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "training.max_step=5",
            "training.max_step = 5: there is no such setting. Fix: did you mean training.max_steps.",
        ),
        ("trainin.max_steps=5", "trainin.max_steps = 5: there is no such setting. Fix: did you mean training."),
        ("zzz=5", "zzz = 5: there is no such setting. Fix: valid names are training, lora, seed."),
        ("zzz.a.b=5", "zzz.a.b = 5: there is no such setting. Fix: valid names are training, lora, seed."),
        (
            "training.max_steps=many",
            "training.max_steps = 'many': expected a whole number, got text. Fix: give a whole number.",
        ),
        ("training.max_steps=2.5", "training.max_steps = 2.5: expected a whole number, got a number"),
        ("training.max_steps=true", "training.max_steps = True: expected a whole number, got true or false"),
        ("training.bf16=1", "training.bf16 = 1: expected true or false, got a whole number"),
        ("training.name=7", "training.name = 7: expected text, got a whole number. Fix: give text, in quotes: '7'."),
        (
            "training.learning_rate=.nan",
            "training.learning_rate = nan: must be a number, and NaN is none. Fix: give a number.",
        ),
        ("training.betas=[0, nan]", "training.betas[1] = 'nan': must be a number, and NaN is none"),
        ("training.ks=[1, two]", "training.ks[1] = 'two': expected a whole number, got text"),
        ("training.ks=3", "training.ks = 3: expected a list of a whole number, got a whole number"),
        ("training.betas=[1]", "training.betas = [1]: expected 2 values, got 1"),
        (
            "training.schedule=cosin",
            "training.schedule = 'cosin': must be one of constant | cosine | off. Fix: set it to cosine.",
        ),
        ("training.schedule=off", "training.schedule = False: must be one of constant | cosine | off"),
        ("training=5", "training = 5: this is a section"),
        ("training.max_steps=0", "training.max_steps = 0: training needs a step. Fix: set it to 1 or more."),
        ("training.max_steps", "--set = 'training.max_steps': must have the form setting=value"),
        ("training..max_steps=3", "must have the form setting=value"),
    ],
)
def test_a_wrong_setting_is_refused_with_path_expectation_and_fix(override, message):
    with pytest.raises(ConfigError) as error:
        load(override)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {max_steps: 1, max_steps: 2}", "the key 'max_steps' is given twice"),
        ("training: [", "is not valid YAML"),
        (
            "- 1\n- 2",
            "must hold `section:` mappings. Fix: start from what `reckon config METHOD --format yaml` prints.",
        ),
        ("lora: {rnk: 3}", "lora.rnk = 3: there is no such setting. Fix: did you mean lora.rank."),
        ("!!python/object/apply:os.system ['true']", "is not valid YAML"),
    ],
)
def test_a_wrong_file_is_refused_on_one_line(text, message, tmp_path):
    with pytest.raises(ConfigError) as error:
        load(yaml=text, tmp_path=tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_empty_file_changes_nothing(tmp_path):
    assert load(yaml="", tmp_path=tmp_path) == Config()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(Config, tmp_path / "nowhere.yaml")


def test_a_required_field_must_be_given():
    @dataclass(frozen=True)
    class Needs:
        path: Path

    with pytest.raises(ConfigError, match=r"path = None: has no default and was not given\. Fix: give a path"):
        load_config(Needs)
    assert load_config(Needs, overrides=["path=x"]).path == Path("x")


def test_save_and_load_agree(tmp_path):
    config = load("training.learning_rate=1e-5", "training.cache=a/b", "lora=null", "training.weights.x=.5")
    save_config(config, tmp_path / "config.yaml")
    assert load_config(Config, tmp_path / "config.yaml") == config
    assert load_config(Config, base=config) == config


def test_a_failed_save_leaves_the_previous_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    save_config(Config(seed=1), path)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_config(Config(seed=2), path)
    assert load_config(Config, path).seed == 1
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


def test_to_dict_holds_plain_values_only():
    values = to_dict(load("training.cache=a"))
    assert values["training"]["betas"] == [0.9, 0.999]
    assert values["training"]["cache"] == "a"


def test_describe_lists_every_setting_with_type_default_and_doc():
    rows = {row.path: row for row in describe(Config)}
    assert rows["training.max_steps"].doc == "Optimizer steps, at least 1."
    assert rows["training.max_steps"].default == "100"
    assert rows["training.warmup"].type == "a whole number or null"
    assert rows["training.warmup"].default == "null"
    assert rows["training.schedule"].doc == ""
    assert rows["lora.rank"].type == "a whole number"
    assert rows["seed"].default == "0"


def test_describe_shows_the_values_of_a_preset():
    rows = {row.path: row for row in describe(Config, Config(training=TrainingSection(max_steps=7)))}
    assert rows["training.max_steps"].default == "7"


def test_defaults_shown_by_describe_load_again():
    overrides = [f"{row.path}={row.default}" for row in describe(Config)]
    assert load_config(Config, overrides=overrides) == Config()


def test_markdown_cells_escape_the_column_sign():
    assert "constant \\| cosine \\| off" in markdown_table(describe(Config))


def test_every_type_has_words():
    assert describe_type(tuple[int, ...]) == "a list of a whole number"
    assert describe_type(dict[str, float]) == "a mapping to a number"
    assert describe_type(tuple[LoraSection, ...]) == "a list of sections"
