import pytest

from reckon.training.schedule import rate_share


def test_the_first_update_moves_the_weights_and_the_last_of_the_warm_up_is_the_peak():
    assert [rate_share(step, warmup=4) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_without_a_warm_up_the_first_update_has_the_peak():
    assert rate_share(0, warmup=0) == 1.0


def test_decay_ends_at_nothing():
    assert [rate_share(step, warmup=2, updates=6) for step in range(7)] == pytest.approx(
        [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    )
