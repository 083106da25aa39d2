"""Evaluating finished ranking runs: cut-offs, windows, arms beside, guards, examples; nothing is written."""

import json
import shutil

import numpy as np
import pytest
from support.shelf import backbone_folder, dataset, settings

from reckon.checksums import add_checksums, write_checksums
from reckon.data import Dataset
from reckon.errors import CheckpointError, ConfigError
from reckon.evaluation.ranking import evaluate as module
from reckon.evaluation.run import evaluate
from reckon.methods.r2ec import R2ec
from reckon.methods.r2ec.trainer import fit
from reckon.methods.ranking_model import RankingModel
from reckon.reports.ranking.report import ranking_page, ranking_tables, results_section

pytestmark = pytest.mark.usefixtures("charts_undrawn")


def trained(folder, data, arm="full", **changes):
    model = R2ec.from_backbone(
        backbone_folder(folder / f"backbone-{arm}"), data, settings(arm, max_steps=1, eval_steps=1, **changes)
    )
    fit(model, data, folder / arm, progress=False)
    return folder / arm


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    data = dataset(folder / "data")
    return trained(folder, data), trained(folder, data, "no-reasoning", prompt={"window": 1})


def test_any_cut_off_is_accepted(runs):
    evaluation = evaluate(runs[0], ks=(3, 50))
    assert [result.name for result in evaluation.results] == ["popularity", "r2ec, reasoning left out", "r2ec"]
    assert evaluation.main.recommended.shape[1] >= 50 or evaluation.main.catalog_size < 50
    with pytest.raises(ConfigError, match="cut-off"):
        evaluate(runs[0], ks=())


def test_sampled_replies_have_a_row_of_their_own_before_each_run_that_reasons(runs):
    names = [result.name for result in evaluate(runs[0], beside=[runs[1]], samples=3).results]
    left_out, mean = "r2ec, reasoning left out", "r2ec, mean of 3 replies"
    assert names == ["popularity", "no-reasoning", mean, left_out, "r2ec"]
    alone = evaluate(runs[0], samples=3)
    assert alone.compared_with == left_out, "the headline compares with no reasoning, not with other replies"
    with pytest.raises(ConfigError, match="samples"):
        evaluate(runs[0], samples=0)


def test_fewer_rows_are_the_same_sample_for_every_run(runs):
    whole, part = (evaluate(runs[0], beside=[runs[1]], most_rows=most) for most in (None, 5))
    chosen = [whole.main.user_ids.tolist().index(user) for user in part.main.user_ids]
    assert len(set(chosen)) == 5 < len(whole.main.ranks)
    for all_rows, some in zip(whole.results, part.results, strict=True):
        assert some.ranks.tolist() == all_rows.ranks[chosen].tolist(), some.name


def test_the_command_of_an_evaluation_names_its_rows(runs):
    assert "--rows 5 " in evaluate(runs[0], most_rows=5).about.commands[-1]


def test_an_evaluation_writes_nothing(runs):
    before = sorted(path.relative_to(runs[0]) for path in runs[0].rglob("*"))
    evaluate(runs[0], beside=[runs[1]])
    assert sorted(path.relative_to(runs[0]) for path in runs[0].rglob("*")) == before


def test_an_arm_beside_is_ranked_as_it_was_trained(runs):
    alone = evaluate(runs[1]).main
    beside = next(result for result in evaluate(runs[0], beside=[runs[1]]).results if result.name == "no-reasoning")
    assert beside.ranks.tolist() == alone.ranks.tolist(), "with its own window, not the main run's"


def test_the_headline_compares_with_the_arm_without_reasoning(runs):
    assert evaluate(runs[0], beside=[runs[1]]).compared_with == "no-reasoning"
    assert evaluate(runs[0]).compared_with == "r2ec, reasoning left out"


def test_page_and_terminal_compare_with_popularity_and_with_the_reasoning_left_out(runs):
    evaluation = evaluate(runs[0])
    table = ranking_tables(evaluation)[-1]
    first = list(dict.fromkeys(row[0] for row in table.rows))
    assert first == ["r2ec − popularity", "r2ec − r2ec, reasoning left out"]
    assert table in results_section(ranking_page(evaluation)).tables


def test_every_run_is_loaded_once_and_every_row_is_ranked_once(runs, monkeypatch):
    loaded, load = [], module.load_ranking_model
    monkeypatch.setattr(module, "load_ranking_model", lambda run: loaded.append(run) or load(run))

    def again(*_, **__):
        raise AssertionError("rows that were ranked are asked about again")

    monkeypatch.setattr(RankingModel, "recommend_examples", again)
    evaluation = evaluate(runs[0], beside=[runs[1]])
    assert sorted(loaded) == sorted(runs)
    titles = Dataset.load(evaluation_data(runs[0])).catalog.titles
    for row, shown in enumerate(evaluation.examples):
        assert shown.rank == evaluation.main.ranks[row]
        assert list(shown.items) == [titles[item] for item in evaluation.main.recommended[row][:5]]


def evaluation_data(run):
    return json.loads((run / "r2ec.json").read_text())["data"]


def test_worst_cases_are_the_worst_ranks_among_the_other_rows(runs):
    evaluation = evaluate(runs[0])
    shown = len(evaluation.examples)
    lowest = np.sort(evaluation.main.ranks[shown:])[::-1][: len(evaluation.worst)]
    size = evaluation.main.catalog_size
    assert [one.rank or size + 1 for one in evaluation.worst] == lowest.tolist()


def test_an_evaluation_has_findings_on_the_data_and_on_every_run(runs):
    findings = evaluate(runs[0], beside=[runs[1]]).findings
    assert list(findings) == ["data", "no-reasoning", "r2ec"]
    assert {"test targets in training", "order of the item ids"} <= {one.check for one in findings["data"]}
    assert {"lists depend on the target", "target in prompt"} <= {one.check for one in findings["r2ec"]}


def test_metrics_are_grouped_by_history_length_and_popularity(runs):
    evaluation = evaluate(runs[0])
    assert [group.by for group in evaluation.groups] == ["history length", "popularity of the target"]
    for group in evaluation.groups:
        assert list(group.means) == [result.name for result in evaluation.results]
        assert 1 <= len(group.labels) <= 3


def test_data_with_other_test_rows_is_refused(runs, tmp_path):
    """The same interactions under another split: most of its test rows were trained on."""
    moved = shutil.copytree(evaluation_data(runs[0]), tmp_path / "temporal")
    info = json.loads((moved / "dataset.json").read_text())
    (moved / "dataset.json").write_text(json.dumps(info | {"split": "temporal"}))
    write_checksums(moved)
    assert Dataset.load(moved).checksum == Dataset.load(evaluation_data(runs[0])).checksum
    with pytest.raises(CheckpointError, match=r"trained under the split leave-one-out, and .* has temporal"):
        evaluate(runs[0], data=moved)


def test_a_run_without_a_split_in_its_manifest_is_refused_until_it_is_given(runs, tmp_path):
    run = shutil.copytree(runs[1], tmp_path / "old")
    manifest = json.loads((run / "manifest.json").read_text())
    split = manifest["data"].pop("split")
    (run / "manifest.json").write_text(json.dumps(manifest))
    add_checksums(run, [])
    with pytest.raises(CheckpointError, match=f'does not say under which split.*"split": "{split}"'):
        evaluate(run)


def test_the_group_shown_is_the_first_of_the_last_step_kept(runs):
    group = evaluate(runs[0]).about.group
    assert (group.step, len(group.replies)) == (0, 3)
    rewards = [reply.reward for reply in group.replies]
    assert rewards == sorted(rewards, reverse=True)
    assert sum(reply.advantage for reply in group.replies) == pytest.approx(0, abs=1e-6)
    assert evaluate(runs[1]).about.group is None


def test_the_shown_commands_are_valid(runs):
    import shlex

    import typer

    from reckon.cli import app

    train, again = evaluate(runs[0], beside=[runs[1]], ks=(3,)).about.commands
    for command, words in ((train, 2), (again, 1)):
        _, *parts = shlex.split(command)
        context = typer.main.get_command(app)
        for part in parts[:words]:
            context = context.commands[part]
        context.make_context("reckon", parts[words:])  # raises for an option that there is not


def test_runs_of_different_exclude_seen_are_not_compared_in_an_evaluation(runs, tmp_path):
    data = dataset(tmp_path / "data")
    other = trained(tmp_path, data, head={"exclude_seen": False})
    with pytest.raises(CheckpointError, match="exclude_seen"):
        evaluate(other, beside=[runs[1]])


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_popularity_has_the_exclude_seen_of_the_run(tmp_path, exclude_seen):
    data = dataset(tmp_path / "data")
    run = trained(tmp_path, data, "no-reasoning", head={"exclude_seen": exclude_seen})
    popularity = evaluate(run).results[0]
    examples = data.examples("test")
    repeated = [
        bool(set(row.tolist()) & set(examples.seen(place).tolist())) for place, row in enumerate(popularity.recommended)
    ]
    assert any(repeated) != exclude_seen
