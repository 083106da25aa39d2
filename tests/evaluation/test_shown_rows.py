"""What a page shows of single rows: a group that taught something, and different users."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reckon.evaluation.result import first_row_of_users
from reckon.evaluation.runs import sampled_group


@pytest.mark.parametrize(("rewards", "user"), [([1.0, 1.0, 0.0, 2.0], "b"), ([1.0, 1.0, 2.0, 2.0], "a")])
def test_the_sampled_group_is_the_first_whose_rewards_differ_if_there_is_one(tmp_path, rewards, user):
    (tmp_path / "trajectories").mkdir()
    columns = {"step": [3] * 4, "user_id": ["a", "a", "b", "b"], "target": ["x"] * 4, "reward": rewards}
    table = pa.table(columns | {"reasoning": list("pqrs"), "finish": ["marker"] * 4})
    pq.write_table(table, tmp_path / "trajectories" / "part-0000003.parquet")
    group = sampled_group(tmp_path)
    assert group is not None and group.user_id == user
    assert [reply.reward for reply in group.replies] == sorted(
        rewards[2:] if user == "b" else rewards[:2], reverse=True
    )


def test_a_user_with_many_rows_is_shown_once():
    assert first_row_of_users(["a", "b", "b", "b", "c", "d", "e", "f", "g"]) == [0, 1, 4, 5, 6, 7]
    assert first_row_of_users([]) == []
