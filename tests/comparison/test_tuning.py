"""Random search with one budget for all methods."""

import pytest

from reckon.comparison.tuning import best_trial, check_search, trials_of
from reckon.errors import ConfigError

SPACE = {"a": [1, 2, 3], "b": [True, False]}


def test_trials_start_with_the_given_settings_and_are_unique():
    trials = trials_of({"a": 2, "b": True}, SPACE, 4, "m")
    assert trials[0] == {"a": 2, "b": True}
    assert len(trials) == 4 == len({str(trial) for trial in trials})


def test_a_small_search_space_is_tried_completely():
    assert len(trials_of({"a": 2, "b": True}, SPACE, 50, "m")) == 6
    assert len(trials_of({}, SPACE, 50, "m")) == 7  # the defaults, whatever they are, and all six


def test_draws_are_the_same_every_time_and_differ_between_methods():
    space = {"a": list(range(50))}
    assert trials_of({}, space, 8, "m") == trials_of({}, space, 8, "m") != trials_of({}, space, 8, "n")


def test_a_huge_search_space_is_not_enumerated():
    assert len(trials_of({}, {name: list(range(100)) for name in "abcdefgh"}, 5, "m")) == 5


def test_budget_zero_gives_no_trial_and_an_empty_search_space_one():
    assert trials_of({"a": 1}, SPACE, 0, "m") == [] and trials_of({"a": 1}, {}, 9, "m") == [{"a": 1}]


def test_the_best_trial_is_the_first_of_ties_without_failures():
    assert best_trial([0.1, None, 0.3, 0.3]) == 2
    assert best_trial([None, None]) is None


def test_a_search_without_values_is_refused():
    with pytest.raises(ConfigError, match=r"methods\[0\]\.search\.a"):
        check_search({"a": []}, "methods[0].search")
