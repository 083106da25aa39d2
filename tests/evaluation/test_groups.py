"""Groups of rows: each row in one group, equal values together, no metric for small groups."""

import numpy as np
import pytest

from reckon.evaluation.groups import LEAST_ROWS, groups_of, intervals_of, terciles


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (range(9), ("0–2\n3 rows", "3–5\n3 rows", "6–8\n3 rows")),
        ([4] * 9, ("4\n9 rows",)),
        ([0] * 8 + [5], ("0\n8 rows", "5\n1 rows")),
        ([1, 1, 1, 1, 4, 9, 9], ("1\n4 rows", "4\n1 rows", "9\n2 rows")),
        ([7], ("7\n1 rows",)),
    ],
)
def test_terciles_hold_every_row_once_and_keep_equal_values_together(values, labels):
    values = np.array(values)
    groups = terciles(values)
    assert groups.labels == labels
    assert (groups.of_row >= 0).all() and (np.diff(groups.of_row[np.argsort(values)]) >= 0).all()
    assert all(len(set(groups.of_row[values == value])) == 1 for value in values)


def test_a_group_of_few_rows_has_no_metric():
    groups = groups_of(np.array([0] * LEAST_ROWS + [1]), ((0, 0), (1, None)))
    many, few = intervals_of(np.ones(LEAST_ROWS + 1), range(LEAST_ROWS + 1), "hit@10", groups)
    assert (many.mean, few) == (1, None)
