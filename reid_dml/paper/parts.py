"""The tables and figures of the papers with what was measured for them at one scale."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from reid_dml.analysis.paper_figures import Point, draw_curves, draw_sweep, point
from reid_dml.models.summary import summarize
from reid_dml.paper.artifacts import ARTIFACTS, Analysis, Curves, Sweep, Table, experiments_of, run_of
from reid_dml.paper.experiments import EXPERIMENTS
from reid_dml.paper.published import TABLE_1
from reid_dml.paper.recipes import at_scale
from reid_dml.paper.records import Place, Record, Records, value
from reid_dml.reporting.comparison import Compared, comparison_rows

# What curves show: unit and factor to it.
_QUANTITIES = {"loss": ("cross entropy (nats)", 1.0), "mAP": ("mAP (%)", 100.0), "top1": ("top-1 accuracy (%)", 100.0)}


class Part(NamedTuple):
    """A table or figure with what was measured for it."""

    name: str
    title: str
    rows: list[list[str]]  # a table, header first; of a figure its numbers
    figures: tuple[str, ...] = ()  # SVG
    missing: tuple[str, ...] = ()  # experiments without a run at this scale

    @property
    def measured(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.figures) or any(cell for row in self.rows[1:] if row[1] == "ours" for cell in row[-1:])


def paper_parts(names: Sequence[str], records: Records, place: Place, scale: str) -> Iterator[Part]:
    """The tables and figures of these names."""
    for name in names:
        artifact = ARTIFACTS[name]
        missing = tuple(one for one in experiments_of(artifact, scale) if (one, scale) not in records)
        if isinstance(artifact, Table):
            rows = comparison_rows(compared(artifact, records, scale), artifact.columns)
            yield Part(name, artifact.title, rows, missing=missing)
        elif isinstance(artifact, Sweep):
            yield Part(name, artifact.title, *_sweep(artifact, records, scale), missing)
        elif isinstance(artifact, Curves):
            yield Part(name, artifact.title, *_curves(artifact, records, scale), missing)
        else:
            yield Part(name, artifact.title, *_drawn(artifact, place.drawn(name, scale)), missing)


def compared(table: Table, records: Records, scale: str) -> list[Compared]:
    """The rows of a table with the runs of a scale."""

    def measured(experiment: str, network: int | str) -> dict[str, list[float]]:
        runs = [run for _, run in sorted(records.get((run_of(experiment, scale), scale), {}).items())]
        return {
            column: [number for run in runs if (number := value(run, network, column)) is not None]
            for column in table.columns
        }

    return [
        Compared(
            row.label,
            row.published,
            measured(row.experiment, row.network) if row.experiment and scale in row.scales else {},
            row.control,
            not row.experiment or (scale in row.scales and at_scale(EXPERIMENTS[row.experiment], scale)),
            ours=bool(row.experiment),
        )
        for row in table.rows
    ]


def _sweep(sweep: Sweep, records: Records, scale: str) -> tuple[list[list[str]], tuple[str, ...]]:
    found: dict[str, list[Point]] = {}
    for series in sweep.series:
        for x, name in series.points:
            runs = [run for _, run in sorted(records.get((run_of(name, scale), scale), {}).items())]
            values = [number for run in runs if (number := value(run, series.network, sweep.column)) is not None]
            if values:
                spread = _of_networks(runs[0], sweep.column) if series.network == "mean" else []
                found.setdefault(series.label, []).append(point(x, values, spread))
    rows = [["series", sweep.x_label, f"{sweep.column} (%)", "sd", "n"]]
    for label, points in found.items():
        rows += [
            [label, f"{at.x:g}", f"{at.mean:.2f}", "" if at.sd is None else f"{at.sd:.2f}", str(at.n)] for at in points
        ]
    if not found:
        return rows, ()
    return rows, (draw_sweep(found, title=sweep.title, x_label=sweep.x_label, y_label=f"{sweep.column} (%)"),)


def _of_networks(record: Record, column: str) -> list[float]:
    numbers = (value(record, index, column) for index in range(len(record["metrics"]["networks"])))
    return [number for number in numbers if number is not None]


def _curves(artifact: Curves, records: Records, scale: str) -> tuple[list[list[str]], tuple[str, ...]]:
    """A curve for every network of the first run of each experiment, a figure a quantity."""
    rows, figures = [["curve", "step", "value", "unit"]], []
    for quantity in artifact.quantities:
        unit, factor = _QUANTITIES[quantity]
        found: dict[str, tuple[list[float], list[float]]] = {}
        for name in artifact.experiments:
            for record in list(records.get((run_of(name, scale), scale), {}).values())[:1]:
                course = record.get("curves", {}).get(quantity, {"steps": [], "networks": []})
                for number, values in enumerate(course["networks"]):
                    label = f"{name}, network {number} ({record['networks'][number]})"
                    found[label] = (course["steps"], [factor * one for one in values])
        for label, line in found.items():
            rows += [[label, f"{x:g}", f"{y:.4g}", unit] for x, y in zip(*line, strict=True)]
        if found:
            figures.append(draw_curves(found, title=artifact.title, y_label=unit))
    return rows, tuple(figures)


def _drawn(artifact: Analysis, folder: Path | None) -> tuple[list[list[str]], tuple[str, ...]]:
    """What `tools/analyse.py` left in a folder."""
    if folder is None:
        return [], ()
    with (folder / f"{artifact.command}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return rows, tuple(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.svg")))


def parameters_table() -> Part:
    """Table 1: parameters of the networks with 100 classes, counted from the networks themselves."""
    rows = [["network", "CVPR", "ours"]]
    for name, printed in TABLE_1.items():
        size = (32, 32) if "cifar" in name or name.startswith("wrn") else (224, 224)
        rows.append([name, printed, f"{summarize(name, size, 100).parameters:,}"])
    return Part("table1", "Table 1: parameters with 100 classes", rows)
