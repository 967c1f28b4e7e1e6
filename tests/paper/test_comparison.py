"""Measured beside published: gains, spreads and tests against SciPy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from reid_dml.paper.comparison import Compared, comparison_rows, mean_and_sd_cell, welch

CONTROL = Compared("alone", {"CVPR": {"mAP": 50.15, "rank-1": 76.87}}, {"mAP": [40.0, 41.0, 42.0], "rank-1": []})
ROW = Compared("DML", {"CVPR": {"mAP": 54.71}}, {"mAP": [44.0, 46.0, 45.0], "rank-1": [70.0]}, control=0)


def test_the_test_is_welch_s_by_its_formula():
    a, b = [44.0, 46.0, 45.0], [40.0, 41.5, 42.0, 39.0]
    squares = [np.var(values, ddof=1) / len(values) for values in (a, b)]
    t = (np.mean(a) - np.mean(b)) / math.sqrt(sum(squares))
    freedom = sum(squares) ** 2 / sum(s**2 / (len(v) - 1) for s, v in zip(squares, (a, b), strict=True))
    assert welch(a, b) == pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-12)
    assert welch(b, a) == pytest.approx(welch(a, b))
    assert welch([100 * 11 / 12] * 3, [100 * 11 / 12] * 2) == 1  # whose means are rounded differently
    assert welch([1.0], a) is None
    assert welch([1.0, 1.0], [1.0, 1.0]) == 1
    assert welch([2.0, 2.0], [1.0, 1.0]) == 0


def test_lines_of_a_row_published_measured_and_gains():
    rows = comparison_rows([CONTROL, ROW], ["mAP", "rank-1"])
    p = welch([44.0, 46.0, 45.0], [40.0, 41.0, 42.0])
    assert rows == [
        ["", "", "mAP", "rank-1", "n"],
        ["alone", "CVPR", "50.15", "76.87", ""],
        ["", "ours", "41.00 ± 1.00", "", "3"],
        ["DML", "CVPR", "54.71", "", ""],
        ["", "ours", "45.00 ± 1.00", "70.00", "1-3"],  # rank-1 of one run only
        ["", "gain, CVPR", "+4.56", "", ""],
        ["", "gain, ours", f"+4.00 (p = {p:.2g})", "", ""],
    ]


def test_what_was_not_run_says_so_and_others_methods_have_no_line_of_ours():
    rows = comparison_rows(
        [
            Compared("a", {}, {}),
            Compared("b", {}, {}, run=False),
            Compared("c", {"v1": {"mAP": 24.4}}, {}, ours=False),
        ],
        ["mAP"],
    )
    assert rows[1:] == [["a", "ours", "not run", ""], ["b", "ours", "not at this scale", ""], ["c", "v1", "24.40", ""]]


def test_one_run_has_no_deviation_and_no_test():
    assert mean_and_sd_cell([1.0], "mAP") == "1.00"
    assert mean_and_sd_cell([], "mAP") == ""
    one = Compared("DML", {}, {"mAP": [45.0]}, control=0)
    assert comparison_rows([CONTROL, one], ["mAP"])[-1] == ["", "gain, ours", "+4.00", ""]


def test_entropies_have_four_decimals_as_in_the_papers():
    alone = Compared("alone", {"CVPR": {"train entropy": 0.2602}}, {"train entropy": [0.0043, 0.0045]})
    dml = Compared("DML", {"CVPR": {"train entropy": 0.1562}}, {"train entropy": [0.0051]}, control=0)
    assert comparison_rows([alone, dml], ["train entropy"])[1:] == [
        ["alone", "CVPR", "0.2602", ""],
        ["", "ours", "0.0044 ± 0.0001", "2"],
        ["DML", "CVPR", "0.1562", ""],
        ["", "ours", "0.0051", "1"],
        ["", "gain, CVPR", "-0.1040", ""],
        ["", "gain, ours", "+0.0007", ""],
    ]
