"""Tables of a cohort's metrics in percent, for terminals and pages; what the columns are is each task's own."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from reid_dml.cohort_metrics import ensembles_by_label
from reid_dml.text import printable


class ReferenceRow(NamedTuple):
    """Somebody else's result to print beside ours: as printed there, by the columns of the task's table."""

    label: str
    cells: Mapping[str, float]


@dataclass(frozen=True)
class MetricsTable:
    """How the metrics of one task are shown."""

    title: str
    columns: Callable[[], Sequence[str]]  # asked when a table is made: metrics may be registered until then
    cells: Callable[[Mapping[str, Any]], list[str]]  # of one network's metrics, a cell a column; "": not measured
    notes: Callable[[Mapping[str, Any]], list[str]]  # what a reader must know of a cohort's metrics
    first: Sequence[str] = ()  # columns that a page shows before the others

    def rows(
        self, metrics: Mapping[str, Any], labels: Sequence[str], references: Sequence[ReferenceRow] = ()
    ) -> list[list[str]]:
        """Header first: a row a network, the mean, the ensembles, and the published rows.

        Args:
            metrics: of a cohort, in the layout of `Task.evaluate`.
            labels: of its networks.
            references: published rows.
        """
        columns = self.columns()
        rows = [["", *columns]]
        rows += [[label, *self.cells(found)] for label, found in zip(labels, metrics["networks"], strict=True)]
        together = {label: metrics[label] for label in ("mean",) if label in metrics} | ensembles_by_label(metrics)
        rows += [[label, *self.cells(found)] for label, found in together.items()]
        for row in references:
            values = [row.cells.get(column) for column in columns]
            rows.append([row.label, *("" if value is None else as_printed(value) for value in values)])
        return rows


def network_labels(names: Sequence[str], indices: Sequence[int] | None = None) -> list[str]:
    """How tables call the networks of a cohort; `indices` in it, where these are not all of its networks."""
    return [f"network {index} ({name})" for index, name in zip(indices or range(len(names)), names, strict=True)]


def columns_first(rows: Sequence[Sequence[str]], first: Sequence[str]) -> list[list[str]]:
    """The table with these columns right behind its labels, where it has them."""
    header = list(rows[0])
    ahead = [header.index(column) for column in first if column in header]
    order = [0, *ahead, *(place for place in range(1, len(header)) if place not in ahead)]
    return [[row[place] for place in order] for row in rows]


def without_empty_columns(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The table without columns that hold nothing below their header; the first always stays."""
    kept = [column for column in range(len(rows[0])) if column == 0 or any(row[column] for row in rows[1:])]
    return [[row[column] for column in kept] for row in rows]


def as_printed(value: float) -> str:
    """A published number as a cell: the papers print two decimals, of entropies four."""
    return f"{value:.2f}" if round(value, 2) == value else f"{value:.4f}"


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned for a terminal: the first to the left, numbers to the right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def csv_text(rows: Sequence[Sequence[object]]) -> str:
    """A table as CSV, header first."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
