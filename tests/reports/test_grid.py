"""A table in other programs: what a name says is never a formula, an escape or a command."""

import csv
import io

import pytest

from reckon.reports.grid import Grid


def cells(*row):
    return next(csv.reader(io.StringIO(Grid(row, ()).to_csv())))


@pytest.mark.parametrize(
    "label", ["=cmd|' /C calc'!A0", "+cmd|x", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1+1", " =1"]
)
def test_a_label_that_a_spreadsheet_would_run_gets_a_quote(label):
    assert cells(label)[0].startswith("'")


@pytest.mark.parametrize("number", ["-0.012", "+2.5", "-0.01 [-0.02, 0.00]", "0.5 ± 0.1", "−0.3"])
def test_a_number_stays_a_number(number):
    assert cells(number) == [number]


def test_an_escape_in_a_name_is_written_out():
    assert "\x1b" not in Grid(("a\x1b[31m",), (("b\x1b[0m",),)).to_csv()
