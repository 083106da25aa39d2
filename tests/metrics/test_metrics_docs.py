"""docs/metrics.md: its worked example runs and gives the numbers it states."""

import json
import re
from pathlib import Path

import pytest

from reckon.evaluation.ranking.evaluate import Evaluation
from reckon.metrics import RankingResult, metric_values
from reckon.reports.write import write_evaluation

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def code_block(language):
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[1]


def test_the_worked_example_gives_the_numbers_beside_it():
    names = {}
    exec("\n".join(line for line in code_block("python").splitlines() if not re.match(r"\w+\(", line)), names)
    stated = re.findall(r"^(\w+\(.*?\)) +# (0\.\d+)$", code_block("python"), re.MULTILINE)
    assert len(stated) == 3
    for call, value in stated:
        assert eval(call, names) == pytest.approx(float(value), abs=5e-5)


def test_the_table_agrees_with_the_code():
    result = RankingResult("mine", [1, 3, 7, 101], 100)
    rows = re.findall(r"^\| (Hit@5|Hit@10|NDCG@5|NDCG@10|MRR) \|.*= (0\.\d+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 5
    for metric, value in rows:
        assert metric_values(result, metric.lower()).mean() == pytest.approx(float(value), abs=5e-4)


def test_the_shown_file_has_the_entries_of_a_written_one(tmp_path):
    evaluation = Evaluation(results=[RankingResult("mine", [1, 3, 7, 101], 100)])
    written = write_evaluation(evaluation, tmp_path).with_name("metrics.json")
    assert set(json.loads(code_block("json"))) == set(json.loads(written.read_text(encoding="utf-8")))
