"""Training RecZero: effects of arm, loss type, KL term, seed and micro-batch size."""

import numpy as np
import pytest
from support.rated_runs import GROUP, validations
from support.run_files import assert_same_run, log, rows, steps, trajectories

from reckon.data.ratings import rating_examples


def one_step(whole, loss_type="grpo", **changes):
    """The run of one update."""
    if loss_type != "grpo":
        changes["grpo"] = {"loss_type": loss_type}
    return whole(max_steps=1, **changes)


def test_ablation_arms_change_only_the_reward(whole):
    tables = {"full": trajectories(one_step(whole))}
    for arm in ("exact-answer", "no-format"):
        tables[arm] = trajectories(one_step(whole, arm=arm))
    replies = [table["reply"].to_pylist() for table in tables.values()]
    assert replies[0] == replies[1] == replies[2], "the same start, the same seed, the same replies"
    rewards = {arm: np.array(table["reward"]) for arm, table in tables.items()}
    predicted, truth = (np.array(tables["full"][name]) for name in ("predicted", "rating"))
    known = ~np.isnan(predicted)
    graded = 1 - np.abs(predicted - truth) / 2
    assert known.any() and not known.all() and (predicted == truth).any()
    assert np.array_equal(rewards["full"], np.where(known, 1 + graded, -1))
    assert np.array_equal(rewards["exact-answer"], np.where(known, 1.0 + (predicted == truth), -1))
    assert np.array_equal(rewards["no-format"], np.where(known, graded, 0))


def test_the_loss_type_reaches_the_loss(whole):
    norms = {}
    for loss_type in ("grpo", "dr_grpo", "dapo", "bnpo"):
        [entry] = steps(one_step(whole, loss_type))
        norms[loss_type] = entry["grad_norm"]
    assert norms["dapo"] == pytest.approx(norms["bnpo"]), "one process, one batch per update: the same"
    assert len({f"{norms[name]:.3g}" for name in ("grpo", "dr_grpo", "dapo")}) == 3


@pytest.mark.parametrize("loss_type", ["grpo", "dapo"])
def test_micro_batch_size_does_not_change_the_update(loss_type, whole):
    [halves], [whole_batch] = steps(one_step(whole, loss_type)), steps(one_step(whole, loss_type, micro_batch_size=8))
    assert halves["grad_norm"] == pytest.approx(whole_batch["grad_norm"], rel=1e-4)


def test_the_kl_term_keeps_the_policy_close_to_the_reference(whole):
    free, held = steps(whole()), steps(whole(grpo={"beta": 0.1}))
    assert rows(whole())["reply"][: 8 * GROUP] == rows(whole(grpo={"beta": 0.1}))["reply"][: 8 * GROUP]
    assert free[0]["grad_norm"] == pytest.approx(held[0]["grad_norm"], rel=1e-3), "no divergence yet, no gradient"
    assert free[1:] != held[1:]


def test_a_run_depends_on_its_seed(whole, train, tmp_path):
    train("same", seed=1, max_steps=2)
    assert_same_run(whole(seed=1, max_steps=2), tmp_path / "same")
    assert log(whole(seed=1, max_steps=2)) != log(whole(seed=2, max_steps=2))


def test_the_reward_rises_if_right_replies_are_sampled(train, data, tmp_path):
    model = train("run", fluency=15, max_steps=30, eval_steps=30, batch_size=16, grpo={"num_generations": 8})
    entries, found = steps(tmp_path / "run"), validations(tmp_path / "run")
    first, last = entries[0]["reward/mean"], np.mean([entry["reward/mean"] for entry in entries[-5:]])
    assert first < 0 and last > first + 1
    assert entries[-1]["reply/parsed"] > 0.9 and found[30]["eval_parse_rate"] == 1
    assert found[30]["eval_mae"] <= found[0]["eval_mae"]
    assert model.rate(rating_examples(data, "test", 3, 3)).reply_parse_rate > 0.9
