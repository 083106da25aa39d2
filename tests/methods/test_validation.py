"""Training rows of methods that rank."""

import logging

import pytest
from support import shelf

from reckon.comparison.config import ComparisonConfig, MethodConfig, ProtocolConfig
from reckon.comparison.harness import run_comparison
from reckon.comparison.workers import run_here
from reckon.config import load_config
from reckon.evaluation.ranking.evaluate import evaluate_ranking
from reckon.methods.r2ec.config import R2ecConfig
from reckon.methods.validation import reachable
from reckon.reports.comparison.report import write_comparison


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Readers go round three books, so every history of three books or more holds its target."""
    return shelf.dataset(tmp_path_factory.mktemp("shelf") / "data", step=4).examples("train", 2)


def test_repeats_are_rows_whose_whole_history_holds_the_target(examples):
    assert examples.repeats.tolist() == [
        int(target) in examples.seen(row).tolist() for row, target in enumerate(examples.targets)
    ]
    assert 0 < examples.repeats.sum() < len(examples)


def test_rows_with_an_excluded_target_are_left_out_and_counted(examples, caplog):
    with caplog.at_level(logging.WARNING):
        kept = reachable(examples, exclude_seen=True)
    assert len(kept) == len(examples) - examples.repeats.sum() and not kept.repeats.any()
    assert f"{examples.repeats.sum():,} of {len(examples):,} training rows" in caplog.text
    assert "exclude_seen=false" in caplog.text


def test_where_repeats_are_allowed_every_row_is_kept(examples):
    assert len(reachable(examples, exclude_seen=False)) == len(examples)


@pytest.fixture(scope="module")
def repeating(tmp_path_factory):
    return shelf.dataset(tmp_path_factory.mktemp("repeating") / "data", step=4)


def test_a_run_on_repeat_purchases_records_that_it_allows_them(repeating, tmp_path):
    folder = shelf.backbone_folder(tmp_path / "backbone")
    model = shelf.R2ec.from_backbone(folder, repeating, shelf.settings("no-reasoning", max_steps=1, eval_steps=1))
    assert model.config.head.exclude_seen is False and not model.exclude_seen
    shelf.fit(model, repeating, tmp_path / "run", progress=False)
    assert load_config(R2ecConfig, tmp_path / "run" / "config.yaml").head.exclude_seen is False


def test_a_comparison_on_repeat_purchases_allows_them_for_all_methods(repeating, tmp_path):
    config = ComparisonConfig(
        methods=(MethodConfig(method="popularity"), MethodConfig(method="item-knn")), seeds=(0, 1, 2)
    )
    assert config.protocol.exclude_seen == "auto"
    done = run_comparison(repeating.path, config, tmp_path / "out", runner=in_turn)
    assert done.config.protocol.exclude_seen is False
    saved = load_config(ComparisonConfig, tmp_path / "out" / "comparison.yaml")
    assert saved.protocol == ProtocolConfig(exclude_seen=False)


def in_turn(cells, workers):
    for cell in cells:
        if not cell.finished:
            run_here(cell)


def test_a_user_who_owns_the_whole_catalog_is_a_miss_and_ends_no_run(tmp_path):
    data = shelf.dataset(tmp_path / "data", length=len(shelf.TITLES) + 2)  # everybody takes every book, then two again
    folder = shelf.backbone_folder(tmp_path / "backbone")
    settings = shelf.settings("no-reasoning", max_steps=2, eval_steps=1, head={"exclude_seen": True})
    model = shelf.R2ec.from_backbone(folder, data, settings)
    shelf.fit(model, data, tmp_path / "run", progress=False)
    evaluation = evaluate_ranking(tmp_path / "run")
    for result in evaluation.results:
        assert (result.ranks == len(shelf.TITLES) + 1).all()
    found = {one.check: one for one in evaluation.findings["data"]}["targets taken before"]
    assert found.level == "warning" and "100.0% of the targets" in found.text
    config = ComparisonConfig(
        methods=(MethodConfig(method="popularity"), MethodConfig(method="item-knn")),
        seeds=(0, 1, 2),
        protocol=ProtocolConfig(exclude_seen=True),
    )
    done = run_comparison(data.path, config, tmp_path / "out", runner=in_turn)
    assert [standing.name for standing in done.standings] == ["popularity", "item-knn"]
    write_comparison(done, tmp_path / "out")
    assert "item-knn" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
