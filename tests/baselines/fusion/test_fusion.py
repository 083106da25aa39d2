"""A fusion adds its members' standardised scores, says what each gave, and is stored with them."""

import shutil

import numpy as np
import pytest
import torch
from support import shelf

from reckon.baselines.classical.hybrid import standardised
from reckon.baselines.fusion.fusion import Fusion, FusionConfig
from reckon.comparison.contestant import identified
from reckon.config import to_dict
from reckon.errors import CheckpointError, ConfigError
from reckon.methods.r2ec import R2ec
from reckon.methods.r2ec.trainer import fit

HISTORIES = [np.array([0, 1, 2]), np.array([5])]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Data and a finished R2ec run on it."""
    path = tmp_path_factory.mktemp("fusion")
    data, run = shelf.dataset(path / "data"), path / "run"
    settings = shelf.settings(max_steps=2, eval_steps=1, warmup_steps=0)
    fit(R2ec.from_backbone(shelf.backbone_folder(path / "backbone"), data, settings), data, run, progress=False)
    return data, run


@pytest.fixture(scope="module")
def fusion(trained):
    data, run = trained
    members = ("tfidf", str(run), "popularity")
    return Fusion.fit(data, FusionConfig(members=members, without_reasoning=(str(run),), by_length=True))


def test_scores_are_the_weighted_sum_of_the_members(fusion, trained):
    model = R2ec.from_pretrained(trained[1])
    reading = model.reading([model.example_of(history) for history in HISTORIES])
    expected = reading.queries @ model.table.vectors.T + (0 if model.bias is None else model.bias)
    torch.testing.assert_close(fusion.members[1].of_histories(HISTORIES), expected, rtol=1e-4, atol=1e-4)
    parts = torch.stack([standardised(member.of_histories(HISTORIES)) for member in fusion.members])
    for row, weights in enumerate(fusion.weights[[1, 0]] if len(fusion.weights) > 1 else fusion.weights[[0, 0]]):
        torch.testing.assert_close(fusion.scores(HISTORIES)[row], weights @ parts[:, row])


def test_a_run_is_also_read_without_its_reasoning(fusion, trained):
    direct = R2ec.from_pretrained(trained[1]).without_reasoning()
    reading = direct.reading([direct.example_of(history) for history in HISTORIES])
    expected = reading.queries @ direct.table.vectors.T + (0 if direct.bias is None else direct.bias)
    assert fusion.members[3].name == f"{trained[1]}, reasoning left out"
    torch.testing.assert_close(fusion.members[3].of_histories(HISTORIES), expected, rtol=1e-4, atol=1e-4)


def test_a_recommendation_says_what_each_member_gave(fusion):
    for answer in fusion.recommend(HISTORIES, 4):
        assert list(answer.contributions) == [member.name for member in fusion.members]
        total = np.sum([*answer.contributions.values()], axis=0)
        assert total == pytest.approx(answer.scores, abs=1e-5)


def test_the_chosen_weights_can_be_read(fusion):
    weights, names = fusion.facts["weights"], [member.name for member in fusion.members]
    assert [*weights] in (["all histories"], ["up to 2 events", "up to 5 events", "more events"])
    for row, shown in zip(fusion.weights, weights.values(), strict=True):
        assert shown == pytest.approx(dict(zip(names, row.tolist(), strict=True)), abs=1e-4)


def test_it_is_stored_with_its_members(fusion, trained, tmp_path):
    data, run = trained
    fusion.save_pretrained(tmp_path / "fusion")
    moved = shutil.move(run, tmp_path / "elsewhere")  # the fusion does not need the run any more
    try:
        again = Fusion.from_pretrained(tmp_path / "fusion", data.catalog)
    finally:
        shutil.move(moved, run)
    torch.testing.assert_close(again.scores(HISTORIES), fusion.scores(HISTORIES))


def test_members_of_another_catalog_are_refused(fusion, trained, tmp_path):
    fusion.save_pretrained(tmp_path / "fusion")
    model = R2ec.from_pretrained(tmp_path / "fusion" / "members" / "1")
    model.remove_items(model.catalog.ids[:1])
    model.save_pretrained(tmp_path / "fusion" / "members" / "1")
    with pytest.raises(CheckpointError, match="another catalog"):
        Fusion.from_pretrained(tmp_path / "fusion", trained[0].catalog)


def test_a_run_reads_rows_as_it_was_trained_whatever_the_others_read(fusion, trained):
    """With times, and within the window of its prompt."""
    model, rows = R2ec.from_pretrained(trained[1]), range(2, 6)
    own = trained[0].examples("test", model.prompt.window)
    reading = model.reading([own[row] for row in rows])
    expected = reading.queries @ model.table.vectors.T + (0 if model.bias is None else model.bias)
    found = fusion.members[1].of_rows(trained[0].examples("test", 20), rows)
    assert model.prompt.window < 5
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_settings_of_members_reach_them(trained):
    config = FusionConfig(members=("item-knn", "popularity"), settings={"item-knn": {"neighbours": 3}})
    assert Fusion.fit(trained[0], config).members[0].baseline.config.neighbours == 3


def test_a_run_on_other_data_is_refused(trained, tmp_path):
    other = shelf.dataset(tmp_path / "other", step=5)
    with pytest.raises(CheckpointError, match="trained on other data"):
        Fusion.fit(other, FusionConfig(members=("popularity", str(trained[1]))))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"members": ("popularity",)}, "must be 2 to 5"),
        ({"members": ("popularity", "popularity")}, "members.*names a recommender twice"),
        ({"members": ("popularity",), "without_reasoning": ("a", "a")}, "without_reasoning.*names a recommender twice"),
        ({"members": ("popularity",), "without_reasoning": ("a",)}, "neither a baseline nor a folder"),
        ({"members": ("popularity", "nowhere")}, "neither a baseline nor a folder"),
        ({"settings": {"sasrec": {"width": 3}}}, r"settings\.sasrec.*is of no member"),
        ({"settings": {"item-knn": {"neighbour": 3}}}, r"settings\.item-knn\.neighbour.*did you mean"),
        ({"validation_rows": 0}, "validation_rows"),
    ],
)
def test_wrong_settings_are_refused(trained, wrong, message):
    with pytest.raises(ConfigError, match=message):
        Fusion.fit(trained[0], FusionConfig(**wrong))


def test_a_comparison_knows_the_runs_among_the_members_by_what_they_hold(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "weights").write_text("1")
    settings = {"sentence-encoder": {"encoder": str(run)}}
    config = FusionConfig(members=(str(run), "sentence-encoder"), without_reasoning=(str(run),), settings=settings)
    before = identified(to_dict(config))
    (run / "weights").write_text("22")
    after = identified(to_dict(config))
    assert before["members"][0] != after["members"][0] and before["members"][1] == after["members"][1]
    assert before["without_reasoning"] != after["without_reasoning"] and before["settings"] != after["settings"]
    assert str(tmp_path) not in str(before)
