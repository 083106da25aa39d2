"""Guards of rankings warn of leaks and refuse impossible numbers."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from support import rporec_talker, shelf

from reckon.baselines import Popularity
from reckon.comparison.config import ProtocolConfig
from reckon.comparison.protocol import apply_split, rank_rows, rows_of
from reckon.comparison.ranking.contestants import RankedBaseline, RankedModel
from reckon.comparison.registry import contestant
from reckon.data import Dataset
from reckon.data.prepare.write import write_dataset
from reckon.errors import DataError
from reckon.evaluation.guards.ranking import (
    data_findings,
    method_findings,
    refuse_impossible,
    refuse_impossible_values,
    shared_share,
)
from reckon.metrics import RankingResult

PROTOCOL = ProtocolConfig()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shelf.dataset(tmp_path_factory.mktemp("shelf") / "data")


def rows(data, protocol=PROTOCOL):
    return rows_of(apply_split(data, protocol), protocol, "test", None)


def found(findings, check):
    return next(one for one in findings if one.check == check)


def checked(data, ranker, method="popularity", model=None, log=(), asked=None):
    asked = asked or rows(data)
    ranked = rank_rows(ranker, asked, 20, 5, len(data.catalog))
    findings = method_findings(
        ranker.ranks,
        asked.within(20),
        ranked,
        len(data.catalog),
        exclude_seen=True,
        constant=contestant(method, "m").constant,
        model=model,
        log=log,
    )
    return {one.check: one.level for one in findings}


def test_clean_data_has_no_warning(data):
    temporal = apply_split(data, ProtocolConfig(split="temporal"))
    levels = {one.check: one.level for one in data_findings(temporal, rows(temporal).examples, exclude_seen=True)}
    assert levels["future events in histories"] == levels["training events after test targets"] == "ok"
    assert levels["targets taken before"] == levels["test targets in training"] == "ok"


def test_a_history_event_after_its_target_gives_a_warning(data):
    asked = rows(data)
    late = replace(asked.examples, times=asked.examples.times - 10 * shelf.DAY)
    assert found(data_findings(data, late, exclude_seen=True), "future events in histories").level == ("warning")


def test_leave_one_out_notes_training_events_after_the_first_test_target(data):
    one = found(data_findings(data, rows(data).examples, exclude_seen=True), "training events after test targets")
    assert one.level == "note" and "as leave-one-out has it" in one.text


def test_a_given_test_target_in_training_gives_a_warning(tmp_path):
    ids = [f"x{n}" for n in range(5)]
    taken = pa.table({"user_id": ["u", "u", "v", "v"], "item_id": ["x0", "x1", "x2", "x3"]})
    given = {"split": ["test", "valid"], "user_id": ["u", "v"], "history": [["x0"], ["x2"]], "item_id": ["x1", "x4"]}
    path = write_dataset(
        tmp_path / "d",
        pa.table({"item_id": ids, "title": ids}),
        taken,
        rows=pa.table(given),
        source={"name": "leaky"},
        split="given",
        words={"item": "book", "items": "books", "action": "read"},
        tie_rule="none",
    )
    data = Dataset.load(path)
    one = found(data_findings(data, rows(data).examples, exclude_seen=True), "test targets in training")
    assert one.level == "warning" and one.text.startswith("1 of 1")


def test_an_excluded_repeat_gives_a_warning(data):
    asked = rows(data)
    repeated = replace(asked.examples, targets=np.array([asked.examples.seen(row)[0] for row in range(len(asked))]))
    assert found(data_findings(data, repeated, exclude_seen=True), "targets taken before").level == "warning"
    assert found(data_findings(data, repeated, exclude_seen=False), "targets taken before").level == "note"


def test_ids_that_increase_with_time_give_a_warning(tmp_path):
    ids = [f"b{n}" for n in range(12)]  # b10 comes after b9, not after b1
    events = [(f"u{n % 3}", ids[n], n * 100) for n in range(12)] + [(f"u{n}", ids[n], 5000 + n) for n in range(3)]
    columns = zip(("user_id", "item_id", "timestamp"), map(list, zip(*events, strict=True)), strict=True)
    path = write_dataset(
        tmp_path / "d",
        pa.table({"item_id": ids, "title": ids}),
        pa.table(dict(columns)),
        source={"name": "numbered"},
        split="leave-one-out",
        words={"item": "book", "items": "books", "action": "read"},
        tie_rule="none",
    )
    data = Dataset.load(path)
    one = found(data_findings(data, rows(data).examples, exclude_seen=True), "order of the item ids")
    assert one.level == "warning" and "+1.00" in one.text


class Cheat(RankedBaseline):
    """Puts every target at the head of its list."""

    def ranks(self, examples, k, on_batch=None):
        ranked = super().ranks(examples, k, on_batch)
        for row, target in enumerate(examples.targets):
            rest = [item for item in ranked.items[row] if item != target]
            ranked.items[row] = [target, *rest][:k]
        ranked.ranks[:] = 1
        return ranked


def test_a_method_that_reads_the_target_gives_a_warning(data):
    baseline = Popularity.fit(data)
    assert checked(data, RankedBaseline(baseline))["lists depend on the target"] == "ok"
    assert checked(data, Cheat(baseline))["lists depend on the target"] == "warning"


def test_a_target_in_the_prompt_gives_a_warning(data, tmp_path):
    model, own = rporec_talker.recommender(tmp_path)
    assert checked(own, RankedModel(model), "rporec", model)["target in prompt"] == "ok"
    told = type("Told", (type(model),), {})
    model.__class__ = told
    plain = type(model).prompt_ids
    told.prompt_ids = lambda self, example: (
        plain(self, example) + self.backbone.tokenizer.encode(f" {self.titles[example.target]}")
    )
    assert checked(own, RankedModel(model), "rporec", model)["target in prompt"] == "warning"


def test_lists_that_contradict_their_ranks_are_refused(data):
    class Wrong(RankedBaseline):
        def ranks(self, examples, k, on_batch=None):
            ranked = super().ranks(examples, k, on_batch)
            ranked.ranks[:] = 1
            return ranked

    with pytest.raises(DataError, match="lacks its target"):
        checked(data, Wrong(Popularity.fit(data)))


def test_lists_with_items_of_the_history_are_refused(data):
    with pytest.raises(DataError, match="holds an item of the history"):
        checked(data, RankedBaseline(Popularity.fit(data, exclude_seen=False)))


def test_one_list_for_all_users_gives_a_warning_except_for_popularity():
    alike = np.tile(np.arange(5), (40, 1))
    rng = np.random.default_rng(0)
    varied = np.stack([rng.permutation(100)[:5] for _ in range(40)])
    assert shared_share(alike, 100) == 1 and shared_share(varied, 100) < 0.3


def test_groups_without_advantage_give_a_warning(data):
    log = [{"step": n, "advantage/zero_groups": share} for n, share in enumerate([0.1, 0.2, 0.9, 0.8])]
    ranker = RankedBaseline(Popularity.fit(data))
    assert checked(data, ranker, log=log)["groups without advantage"] == "warning"
    assert "groups without advantage" not in checked(data, ranker, log=log[:2])


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"hit@5": 0.3, "ndcg@5": 0.31}, "exceeds hit@5"),
        ({"hit@5": 1.2}, "outside 0..1"),
        ({"hit@5": -0.1}, "outside 0..1"),
        ({"ndcg@5": float("nan")}, "outside 0..1"),
        ({"hit@5": 0.3, "hit@10": 0.2}, "falls with K"),
    ],
)
def test_impossible_numbers_are_refused(values, problem):
    with pytest.raises(DataError, match=problem.replace(".", r"\.")):
        refuse_impossible_values("m", values, (5, 10))


def test_possible_ranks_pass():
    refuse_impossible(RankingResult("m", np.array([1, 3, 11, 101]), 100), (1, 5, 10))
