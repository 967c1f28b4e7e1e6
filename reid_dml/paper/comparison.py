"""Measured beside published numbers: the lines of a table of the papers, with gains over controls and their tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reid_dml.cells import with_sd
from reid_dml.paper.records import COLUMNS


@dataclass(frozen=True)
class Compared:
    """A row of a table: what was published of it, what was measured, and the row it is to beat."""

    label: str
    published: Mapping[str, Mapping[str, float]]  # by paper, by column
    measured: Mapping[str, Sequence[float]]  # by column, a number a seed
    control: int | None = None  # place of that row
    run: bool = True  # False: there is no such run at this scale
    ours: bool = True  # False: somebody else's method, which is not run


def welch(values: Sequence[float], control: Sequence[float]) -> float | None:
    """Two-sided p-value of Welch's t-test for unequal variances; None where a side has fewer than two numbers.

    Two sides without any spread differ for certain (0) or not at all (1).
    """
    if min(len(values), len(control)) < 2:
        return None
    if np.ptp(values) == np.ptp(control) == 0:
        return float(values[0] == control[0])  # means of unequal numbers of equal values may be rounded differently
    return float(stats.ttest_ind(values, control, equal_var=False).pvalue)


def comparison_rows(rows: Sequence[Compared], columns: Sequence[str]) -> list[list[str]]:
    """Header, then of every row its published lines, its measured one, and the gains over its control."""
    found = [["", "", *columns, "n"]]
    for row in rows:
        control = None if row.control is None else rows[row.control]
        lines = [*_lines(row, columns), *(_gains(row, control, columns) if control else [])]
        found += [[row.label if number == 0 else "", *line] for number, line in enumerate(lines)]
    return found


def _lines(row: Compared, columns: Sequence[str]) -> list[list[str]]:
    """What was published and what was measured."""
    lines = [[paper, *(_printed(cells.get(c), c) for c in columns), ""] for paper, cells in row.published.items()]
    if not row.ours:
        return lines
    counts = sorted({len(values) for values in row.measured.values() if values})
    if counts:
        n = "-".join(map(str, dict.fromkeys((counts[0], counts[-1]))))  # a column may be measured in some runs only
        return [*lines, ["ours", *(mean_and_sd_cell(row.measured.get(column, ()), column) for column in columns), n]]
    why = "not run" if row.run else "not at this scale"
    return [*lines, ["ours", why, *[""] * (len(columns) - 1), ""]]


def _gains(row: Compared, control: Compared, columns: Sequence[str]) -> list[list[str]]:
    """Differences from the control, where both are known; ours with a test."""
    lines = []
    for paper, cells in row.published.items():
        against = control.published.get(paper, {})
        lines.append([f"gain, {paper}", *(_gain(cells.get(c), against.get(c), c) for c in columns), ""])
    lines.append(["gain, ours", *(_own_gain(row, control, column) for column in columns), ""])
    return [line for line in lines if any(line[1:])]


def mean_and_sd_cell(values: Sequence[float], column: str) -> str:
    """`mean ± sd` of the sample in a column, or one number; empty for none."""
    mean = float(np.mean(values)) if values else None
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return with_sd(_printed(mean, column), _printed(sd, column))


def _own_gain(row: Compared, control: Compared, column: str) -> str:
    ours, theirs = row.measured.get(column, ()), control.measured.get(column, ())
    if not ours or not theirs:
        return ""
    p = welch(ours, theirs)
    gain = _gain(float(np.mean(ours)), float(np.mean(theirs)), column)
    return gain if p is None else f"{gain} (p = {p:.2g})"


def _gain(value: float | None, control: float | None, column: str) -> str:
    return "" if value is None or control is None else f"{value - control:+.{_decimals(column)}f}"


def _printed(value: float | None, column: str) -> str:
    return "" if value is None else f"{value:.{_decimals(column)}f}"


def _decimals(column: str) -> int:
    """As the papers print it: two of percentages, four of entropies."""
    _, factor = COLUMNS[column]
    return 2 if factor == 100 else 4
