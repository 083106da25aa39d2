from types import SimpleNamespace

import numpy as np

from reckon.methods.validation import validate
from reckon.models.recommender import RankedExamples


def test_misses_in_a_small_catalog_are_worth_nothing():
    """Eight items, all targets missed: rank 9 is no hit@10."""
    ranked = RankedExamples.empty(5, 8)
    ranked.ranks[:] = 9
    ranked.parsed[:], ranked.truncated[:], ranked.lengths[:] = True, False, 1
    model = SimpleNamespace(catalog=range(8), ranks=lambda *_, **__: ranked)
    found = validate(model, np.zeros(5), "eval")
    assert (found["eval_ndcg@10"], found["eval_hit@10"]) == (0.0, 0.0)
