import numpy as np
import pytest

from reckon.data.scale import Scale
from reckon.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("ratings", "scale", "name"),
    [
        ([5, 4, 1], Scale(1, 5, 1), "1 to 5"),
        ([4, 4], Scale(1, 5, 1), "1 to 5"),
        ([0, 1], Scale(0, 1, 1), "0 to 1"),
        ([0, 3], Scale(0, 5, 1), "0 to 5"),
        ([0.5, 3], Scale(0.5, 5, 0.5), "0.5 to 5 by 0.5"),
        ([1.5, 3], Scale(1, 5, 0.5), "1 to 5 by 0.5"),
        ([2, 7], Scale(1, 10, 1), "1 to 10"),
        ([0, 7], Scale(0, 10, 1), "0 to 10"),
        ([0, 7.5], Scale(0, 10, 0.5), "0 to 10 by 0.5"),
        ([11, 98], Scale(0, 100, 1), "0 to 100"),
        (np.array([-9.9, 9.7, np.nan], dtype=np.float32), Scale(-9.9, 9.7), "-9.9 to 9.7"),
    ],
)
def test_the_scale_of_ratings_is_the_first_conventional_one_that_holds_them(ratings, scale, name):
    assert Scale.of_ratings(ratings) == scale
    assert str(scale) == name


@pytest.mark.parametrize("ratings", [[], [np.nan], [7.3]])
def test_ratings_that_tell_no_scale_are_an_error(ratings):
    with pytest.raises(DataError, match="scale"):
        Scale.of_ratings(ratings)


@pytest.mark.parametrize("text", ["5", "5:1", "1:5:0", "1:5:-1", "1:5:0.3", "a:b", "1:nan", "1:inf", "1:5:1:1", ""])
def test_a_scale_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="Fix: write it as"):
        Scale.parse(text)


def test_a_written_scale_is_read():
    assert Scale.parse("0.5:5:0.5") == Scale(0.5, 5, 0.5)
    assert Scale.parse("-10:10") == Scale(-10, 10, None)
    assert Scale.of_record(Scale(0.5, 5, 0.5).record) == Scale(0.5, 5, 0.5)


def test_values_and_distances_of_a_scale():
    scale = Scale(0.5, 5, 0.5)
    assert scale.values() == (0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5)
    assert (scale.range, scale.half_range) == (4.5, 2.25)
    assert scale.nearest(3.7) == 3.5 and scale.nearest(3.75) == 4 and scale.nearest(9) == 5 and scale.nearest(0) == 0.5
    assert scale.contains(3.3) and not scale.contains(5.01) and not scale.contains(float("nan"))
    assert scale.clip(7) == 5 and scale.clip(np.array([0.0, 2.0])).tolist() == [0.5, 2]
    assert Scale(-10, 10).values() == (-10, 10) and Scale(-10, 10).nearest(0.123) == 0.123


def test_the_worst_error_is_the_distance_to_the_far_end():
    assert Scale(1, 5, 1).worst_error(4) == 3
    assert Scale(1, 5, 1).worst_error(np.array([1, 2, 5])).tolist() == [4, 3, 4]


@pytest.mark.parametrize(("ratings", "end"), [((1, 7), "10"), ((0, 4), "5"), ((1, 1), "5")])
def test_a_guessed_end_that_never_occurs_is_a_doubt(ratings, end):
    (doubt,) = Scale.of_ratings(ratings).doubts(ratings)
    assert f"{end} never occurs" in doubt and "--scale" in doubt


def test_a_guess_whose_ends_occur_leaves_no_doubt():
    assert Scale.of_ratings([1, 5]).doubts([1, 3, 5]) == []
