"""A whole comparison on a tiny shelf: fairness, resuming, failures, tuning, and what the tables say."""

import json
import multiprocessing
import os
import shutil
import signal
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import shelf

from reckon.checksums import write_checksums
from reckon.comparison import workers as workers_module
from reckon.comparison.cells import Cell
from reckon.comparison.config import ComparisonConfig, MethodConfig, ProtocolConfig, PublishedConfig, TuningConfig
from reckon.comparison.harness import run_comparison
from reckon.comparison.ranking.contestants import BaselineContestant
from reckon.comparison.summary import metrics_of
from reckon.comparison.workers import run_cells, run_here
from reckon.data import Dataset
from reckon.errors import CheckpointError, ConfigError, DataError
from reckon.reports.comparison.tables import tables_of
from reckon.simulation.bookshop import write_bookshop

pytestmark = pytest.mark.usefixtures("charts_undrawn")

POPULAR = MethodConfig(method="popularity")
AGAIN = MethodConfig(method="popularity", name="again")
RECENT = MethodConfig(method="recent-popularity", settings={"days": 3})


class Here:
    """Runs cells in this process, and counts them."""

    def __init__(self, stop_after=None):
        self.ran, self.stop_after = [], stop_after

    def __call__(self, cells, workers):
        for cell in cells:
            if not cell.finished:
                if len(self.ran) == self.stop_after:
                    raise KeyboardInterrupt
                self.ran.append(cell)
                run_here(cell)


def config(*methods, **changes):
    return ComparisonConfig(methods=methods or (POPULAR, AGAIN, RECENT), ks=(1, 3), **changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shelf.dataset(tmp_path_factory.mktemp("shelf") / "data", users=30).path


@pytest.fixture(scope="module")
def untimed(tmp_path_factory):
    """A data set that knows the order only."""
    path = tmp_path_factory.mktemp("books") / "data"
    return write_bookshop(path, train_readers=20, valid_readers=20, test_readers=40, notes=1)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A comparison, its folder and its runner."""
    out, here = tmp_path_factory.mktemp("out") / "c", Here()
    return run_comparison(data, config(), out, runner=here), out, here


def test_every_method_is_trained_once_for_each_seed(finished):
    comparison, _, here = finished
    assert [(cell.label, cell.seed) for cell in here.ran] == [
        (name, seed) for name in ("popularity", "again", "recent-popularity") for seed in (0, 1, 2)
    ]
    assert all(standing.whole for standing in comparison.standings)


def test_all_methods_are_asked_about_the_same_rows(finished):
    comparison, _, _ = finished
    abouts = [cell.about for standing in comparison.standings for cell in standing.cells.values()]
    assert {about["rows"] for about in abouts} == {comparison.rows.checksum}
    assert {about["data"] for about in abouts} == {comparison.dataset.checksum}
    assert len({json.dumps(about["protocol"]) for about in abouts}) == 1


def test_the_same_method_twice_has_a_difference_of_zero(finished):
    comparison, _, _ = finished
    again = [d for d in comparison.differences if d.name == "again"]
    assert [d.metric for d in again] == ["hit@3", "ndcg@3"]
    assert all(d.paired.difference == 0 and d.corrected == 1 and not d.clear for d in again)


def test_settings_are_parsed_once_in_a_plan_however_many_seeds_there_are(data, tmp_path, monkeypatch):
    parsed, settings_of = [], BaselineContestant.settings_of

    def counted(contestant, values, path):
        parsed.append((contestant.name, values.get("days")))
        return settings_of(contestant, values, path)

    monkeypatch.setattr(BaselineContestant, "settings_of", counted)
    search = MethodConfig(method="recent-popularity", search={"days": [3, 30]})
    three = config(MethodConfig(method="popularity"), search, seeds=(0, 1, 2), tuning=TuningConfig(trials=3))
    run_comparison(data, three, tmp_path / "out", runner=lambda cells, workers: None)
    assert sorted(parsed, key=str) == sorted(set(parsed), key=str)


def test_a_finished_cell_is_never_trained_again(finished, data):
    comparison, out, _ = finished
    here = Here()
    later = run_comparison(data, config(), out, runner=here)
    assert here.ran == []
    assert metrics_of(later)["rows"] == metrics_of(comparison)["rows"]


def test_only_changed_cells_are_trained_again(finished, data):
    _, out, _ = finished
    here = Here()
    longer = replace(RECENT, settings={"days": 5})
    run_comparison(data, config(POPULAR, AGAIN, longer), out, runner=here)
    assert {cell.label for cell in here.ran} == {"recent-popularity"}
    here = Here()
    run_comparison(data, config(), out, runner=here)
    assert here.ran == []


@pytest.mark.parametrize("protocol", [ProtocolConfig(exclude_seen=False), ProtocolConfig(rows=9)])
def test_a_cell_depends_on_the_protocol(finished, data, protocol):
    _, out, _ = finished
    here = Here()
    run_comparison(data, config(protocol=protocol), out, runner=here)
    assert len(here.ran) == 9


def test_a_killed_comparison_continues_where_it_stopped(data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_comparison(data, config(), tmp_path / "c", runner=Here(stop_after=4))
    here = Here()
    run_comparison(data, config(), tmp_path / "c", runner=here)
    assert len(here.ran) == 5


def test_an_unfinished_cell_is_run_again(data, tmp_path):
    run_comparison(data, config(), tmp_path / "c", runner=Here())
    whole = next((tmp_path / "c" / "cells" / "again").iterdir())
    whole.rename(whole.with_name(f".{whole.name}"))  # as a kill leaves it
    (whole.with_name(f".{whole.name}") / "cell.json").unlink()
    here = Here()
    assert run_comparison(data, config(), tmp_path / "c", runner=here).whole
    assert [cell.label for cell in here.ran] == ["again"]


def test_a_failed_method_is_shown_with_its_error_and_the_others_continue(untimed, tmp_path):
    comparison = run_comparison(untimed, config(), tmp_path / "c", runner=Here())
    assert [standing.name for standing in comparison.whole] == ["popularity", "again"]
    tables = tables_of(comparison)
    assert "failed in 3 of 3 seeds; seed 0:" in tables["metrics"].rows[2][0]
    assert "has no times" in tables["metrics"].rows[2][0]
    assert {d.name for d in comparison.differences} == {"again"}  # a failure is no number
    row = metrics_of(comparison)["rows"][2]
    assert "hit@1" not in row and set(row["failures"]) == {"0", "1", "2"}


def test_a_failed_cell_is_run_again(untimed, tmp_path):
    run_comparison(untimed, config(), tmp_path / "c", runner=Here())
    here = Here()
    run_comparison(untimed, config(), tmp_path / "c", runner=here)
    assert {cell.label for cell in here.ran} == {"recent-popularity"}


def test_a_failed_baseline_leaves_no_differences(untimed, tmp_path):
    comparison = run_comparison(untimed, config(baseline="recent-popularity"), tmp_path / "c", runner=Here())
    assert comparison.differences == [] and "differences" not in tables_of(comparison)


def test_tuning_keeps_the_settings_that_validation_rows_prefer(data, tmp_path):
    tuned = config(POPULAR, replace(RECENT, search={"days": [1, 2, 4]}), tuning=TuningConfig(trials=3))
    here = Here()
    comparison = run_comparison(data, tuned, tmp_path / "c", runner=here)
    tried = comparison.trials["recent-popularity"]
    assert len(tried.settings) == 3 and tried.settings[0] == {"days": 3}
    assert max(tried.scores) == tried.scores[tried.kept]
    assert comparison.standings[1].settings == tried.settings[tried.kept]
    assert comparison.standings[1].trials == 3 and comparison.standings[0].trials == 0
    assert {cell.split for cell in here.ran if cell.seed} == {"test"}  # trials use the first seed alone
    recorded = json.loads((tmp_path / "c" / "tuning.json").read_text())
    assert [one["settings"] for one in recorded["recent-popularity"]["trials"]] == list(tried.settings)
    again = Here()
    run_comparison(data, tuned, tmp_path / "c", runner=again)
    assert again.ran == []


def test_wrong_settings_are_refused_before_training(data, tmp_path):
    here = Here()
    for method, field in (
        (MethodConfig(method="popular"), r"methods\[1\].method"),
        (MethodConfig(method="recent-popularity", settings={"days": 0}), r"methods\[1\].settings.days"),
        (MethodConfig(method="recent-popularity", search={"days": [1, 0]}), r"methods\[1\].search.days"),
        (MethodConfig(method="recent-popularity", search={"days": 3}), r"methods\[1\].search.days"),
    ):
        with pytest.raises(ConfigError, match=f"^{field} = "):
            run_comparison(data, config(POPULAR, method), tmp_path / "c", runner=here)
    assert here.ran == [] and not (tmp_path / "c").exists()


def test_a_folder_with_other_files_is_refused_and_not_changed(data, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(CheckpointError, match="is not empty and holds no comparison"):
        run_comparison(data, config(), tmp_path, runner=Here())


def test_a_damaged_cell_fails_alone(data, tmp_path):
    run_comparison(data, config(), tmp_path / "c", runner=Here())
    cell = next((tmp_path / "c" / "cells" / "again").iterdir())
    (cell / "ranks.safetensors").write_bytes(b"half")
    comparison = run_comparison(data, config(), tmp_path / "c", runner=Here())
    assert [standing.name for standing in comparison.whole] == ["popularity", "recent-popularity"]
    assert "is damaged" in tables_of(comparison)["metrics"].rows[1][0]


def test_every_table_names_data_rows_and_seeds(finished):
    comparison, _, _ = finished
    for name, grid in tables_of(comparison).items():
        for fact in (comparison.dataset.checksum[:12], "seeds 0, 1, 2", "leave-one-out", "no tuning", "30 test rows"):
            assert fact in grid.caption, name


def test_a_deviation_over_seeds_is_named_only_where_there_are_several(finished, data, tmp_path):
    one = run_comparison(data, config(POPULAR, AGAIN, seeds=(0,), allow_few_seeds=True), tmp_path / "c", runner=Here())
    captions = [tables_of(comparison)["metrics"].caption for comparison in (finished[0], one)]
    assert ["deviation over seeds" in caption for caption in captions] == [True, False]


def test_sampled_metrics_have_the_number_of_negatives_in_their_name(data, tmp_path):
    searched = replace(RECENT, search={"days": [1, 2]})
    sampled = config(POPULAR, searched, protocol=ProtocolConfig(negatives=3), tuning=TuningConfig(trials=2))
    comparison = run_comparison(data, sampled, tmp_path / "c", runner=Here())
    row = metrics_of(comparison)["rows"][0]
    assert "hit@1/3-sampled" in row and "hit@1" not in row
    assert "Hit@1/3-sampled" in tables_of(comparison)["metrics"].headings
    assert {pair["metric"] for pair in metrics_of(comparison)["paired"]} == {"hit@3/3-sampled", "ndcg@3/3-sampled"}
    tried = json.loads((tmp_path / "c" / "tuning.json").read_text())["recent-popularity"]["trials"]
    assert {key for one in tried for key in one} == {"settings", "ndcg@10/3-sampled"}


def test_a_published_row_is_marked_and_compared_with_nothing(data, tmp_path):
    row = PublishedConfig(name="TIGER", values={"hit@3": 0.13, "ndcg@3": 0.09}, note="From its paper, trained on more.")
    comparison = run_comparison(data, config(published=(row,)), tmp_path / "c", runner=Here())
    table = tables_of(comparison)["metrics"]
    assert table.rows[-1] == ("TIGER †", "", "", "0.1300", "0.0900")
    assert "† From its paper, trained on more. " in table.caption
    assert all(d.name != "TIGER" for d in comparison.differences)
    assert metrics_of(comparison)["published"][0]["values"] == row.values


def test_impossible_published_numbers_are_refused(data, tmp_path):
    row = PublishedConfig(name="P", values={"hit@3": 0.1, "ndcg@3": 0.2}, note="n")
    with pytest.raises(DataError, match=r"P: ndcg@3 = 0.2: exceeds hit@3"):
        run_comparison(data, config(published=(row,)), tmp_path / "c", runner=Here())


def test_on_the_bookshop_an_oracle_reaches_the_best_possible_and_popularity_lies_below(tmp_path):
    shop = write_bookshop(tmp_path / "d", train_readers=50, valid_readers=20, test_readers=800, notes=1, seed=3)
    methods = (POPULAR, MethodConfig(method="oracle"))
    comparison = run_comparison(shop, config(*methods), tmp_path / "c", runner=Here())
    rows = {row["name"]: row for row in metrics_of(comparison)["rows"]}
    for metric in ("hit@3", "ndcg@3"):
        best = comparison.best_possible[metric]
        lo, hi = rows["oracle"][f"{metric}_ci"]
        assert lo <= best <= hi
        assert rows["popularity"][f"{metric}_ci"][1] < best


def test_the_oracle_fails_on_other_data(data, tmp_path):
    comparison = run_comparison(data, config(POPULAR, MethodConfig(method="oracle")), tmp_path / "c", runner=Here())
    assert "is not a bookshop" in comparison.standings[1].failures[0]


@pytest.mark.slow
def test_forked_processes_give_the_same_results(finished, data, tmp_path):
    same_in_processes(finished, data, tmp_path)


def test_cells_in_their_own_processes_give_the_same_results(finished, data, tmp_path, monkeypatch):
    monkeypatch.setattr(workers_module, "_context", lambda: multiprocessing.get_context("fork"))
    same_in_processes(finished, data, tmp_path)


def same_in_processes(finished, data, tmp_path):
    comparison, _, _ = finished
    apart = run_comparison(data, config(workers=2), tmp_path / "c")
    for one, other in zip(comparison.standings, apart.standings, strict=True):
        for seed in (0, 1, 2):
            assert np.array_equal(one.cells[seed].recommendations.ranks, other.cells[seed].recommendations.ranks)


def kill_me(spec, connection):
    cell = Cell(**json.loads(spec))
    if cell.label == "again":
        os.kill(os.getpid(), signal.SIGKILL)
    run_here(cell)


def test_a_dead_process_fails_only_its_cell(data, tmp_path, monkeypatch):
    monkeypatch.setattr(workers_module, "work", kill_me)
    monkeypatch.setattr(workers_module, "_context", lambda: multiprocessing.get_context("fork"))
    few = config(POPULAR, AGAIN, seeds=(0,), allow_few_seeds=True)
    comparison = run_comparison(data, few, tmp_path / "c", runner=run_cells)
    assert comparison.standings[0].whole
    assert comparison.standings[1].failures == {0: "the process ended with signal 9, perhaps for lack of memory"}


def test_the_data_path_of_a_cell_leads_to_the_data_set(finished):
    comparison, _, here = finished
    assert Dataset.load(here.ran[0].data).checksum == comparison.dataset.checksum


@pytest.mark.parametrize("changed", ["words", "rating_scale", "notes", "revision"])
def test_a_cell_is_kept_only_if_all_its_inputs_are_equal(data, tmp_path, monkeypatch, changed):
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    run_comparison(copy, config(), tmp_path / "c", runner=Here())
    about = json.loads((copy / "dataset.json").read_text())
    if changed == "words":
        about["words"]["item"] = "record"
    elif changed == "rating_scale":
        about["rating_scale"] = {"lowest": 0.0, "highest": 10.0, "step": 1.0}
    elif changed == "notes":
        pq.write_table(pa.table({"text": ["something else"]}), copy / "notes.parquet")
    else:
        monkeypatch.setattr("reckon.comparison.cells.REVISION", 1_000)
    (copy / "dataset.json").write_text(json.dumps(about))
    write_checksums(copy)
    again = Here()
    run_comparison(copy, config(), tmp_path / "c", runner=again)
    assert len(again.ran) == 9


def test_a_failed_trial_is_counted_and_a_failed_baseline_leaves_no_tests(data, untimed, tmp_path):
    searched = replace(RECENT, search={"days": [1, 2, 4]})
    tuned = config(POPULAR, searched, tuning=TuningConfig(trials=4))

    class Broken(Here):
        def __call__(self, cells, workers):
            super().__call__([cell for cell in cells if cell.values.get("days") != 1], workers)

    tables = tables_of(run_comparison(data, tuned, tmp_path / "c", runner=Broken()))
    cost = dict(zip(tables["cost"].headings, tables["cost"].rows[1], strict=True))
    assert cost["trials"] == "3 of 4"
    assert any(row[0] == "recent-popularity, tuning" and "1 of 4" in row[3] for row in tables["guards"].rows)
    without = run_comparison(untimed, config(baseline="recent-popularity"), tmp_path / "u", runner=Here())
    caption = tables_of(without)["metrics"].caption
    assert "Nothing was tested: recent-popularity failed" in caption and "°" not in caption


def test_a_backbone_under_another_split_gives_a_warning(data, tmp_path):
    values = {"backbone": "hub/id", "preset": "small"}
    model = MethodConfig(method="no-reasoning", settings=values)
    found = {}
    for split in ("as-prepared", "temporal"):
        asked = config(POPULAR, model, protocol=ProtocolConfig(split=split))
        comparison = run_comparison(data, asked, tmp_path / split, runner=lambda cells, workers: None)
        found[split] = [one for one in comparison.findings if one.check == "split of the backbones"]
    assert found["as-prepared"] == [] and [one.level for one in found["temporal"]] == ["warning"]
    assert "leave-one-out split: what no-reasoning start" in found["temporal"][0].text
