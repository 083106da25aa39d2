"""`reckon compare --seeds`: what the message about too few seeds suggests, as an option."""

import pytest

from reckon.cli.compare import _seeds
from reckon.comparison.config import load_comparison
from reckon.errors import ConfigError

METHODS = "methods: [{method: popularity}, {method: item-knn}]\n"


@pytest.mark.parametrize(
    ("text", "seeds", "few"),
    [
        ("1", (0,), True),
        ("2", (0, 1), True),
        ("3", (0, 1, 2), False),
        ("7,9", (7, 9), True),
        ("0,1,5", (0, 1, 5), False),
    ],
)
def test_a_number_or_a_list_of_seeds_is_taken_and_few_are_allowed(text, seeds, few, tmp_path):
    (tmp_path / "c.yaml").write_text(METHODS + "seeds: [4, 5, 6, 8]\n")
    loaded = load_comparison(tmp_path / "c.yaml", _seeds(text))
    assert (loaded.seeds, loaded.allow_few_seeds) == (seeds, few)


@pytest.mark.parametrize("text", ["0", "", "-1", "1,", "two", "0.5"])
def test_anything_else_is_refused(text):
    with pytest.raises(ConfigError, match="--seeds"):
        _seeds(text)
