"""The tables and figures of the papers with what was measured for them at one scale."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import stdev
from typing import NamedTuple

from reid_dml.analysis.curves import unit_of
from reid_dml.analysis.paper_figures import Point, draw_curves, draw_sweep, point
from reid_dml.models.summary import summarize
from reid_dml.paper.artifacts import ARTIFACTS, experiments_of, run_of
from reid_dml.paper.comparison import Compared, comparison_rows, mean_and_sd_cell, welch
from reid_dml.paper.experiments import EXPERIMENTS
from reid_dml.paper.kinds import Analysis, Curves, Parameters, Posterior, Sweep, Table
from reid_dml.paper.published import TABLE_1
from reid_dml.paper.recipes import has_recipe
from reid_dml.paper.records import RANKED_CLASSES, Place, Record, Records, value


class Part(NamedTuple):
    """A table or figure with what was measured for it."""

    name: str
    title: str
    rows: list[list[str]]  # a table, header first; of a figure its numbers
    figures: tuple[str, ...] = ()  # SVG
    missing: tuple[str, ...] = ()  # experiments without a run at this scale
    measured: bool = False  # whether there is anything of ours to show
    note: str = ""


def paper_parts(names: Sequence[str], records: Records, place: Place, scale: str) -> Iterator[Part]:
    """The tables and figures of these names.

    Args:
        names: keys of `ARTIFACTS`.
        records: of all runs.
        place: where figures of analyses are.
        scale: of the runs that are shown.
    """
    for name in names:
        artifact = ARTIFACTS[name]
        missing = tuple(one for one in experiments_of(artifact, scale) if (one, scale) not in records)
        if isinstance(artifact, Parameters):
            yield Part(name, artifact.title, _parameters(), measured=True)
        elif isinstance(artifact, Table):
            found = compared(artifact, records, scale)
            measured = any(values for row in found for values in row.measured.values())
            yield Part(name, artifact.title, comparison_rows(found, artifact.columns), (), missing, measured)
        elif isinstance(artifact, Sweep):
            rows, figures = _sweep(artifact, records, scale)
            yield Part(name, artifact.title, rows, figures, missing, bool(figures))
        elif isinstance(artifact, Curves):
            rows, figures, note = _curves(artifact, records, scale)
            yield Part(name, artifact.title, rows, figures, missing, bool(figures), note)
        elif isinstance(artifact, Posterior):
            rows, figures = _posterior(artifact, records, scale)
            yield Part(name, artifact.title, rows, figures, missing, bool(figures))
        else:
            rows, figures = _drawn(artifact, place.drawn(name, scale))
            yield Part(name, artifact.title, rows, figures, missing, bool(rows))


def compared(table: Table, records: Records, scale: str) -> list[Compared]:
    """The rows of a table with the runs of a scale.

    Args:
        table: with its published numbers.
        records: of all runs.
        scale: of those that are shown.
    """

    def measured(experiment: str, network: int | str) -> dict[str, list[float]]:
        return {column: _measured(records, experiment, scale, network, column) for column in table.columns}

    return [
        Compared(
            row.label,
            row.published,
            measured(row.experiment, row.network) if row.experiment and scale in row.scales else {},
            row.control,
            not row.experiment or (scale in row.scales and has_recipe(EXPERIMENTS[row.experiment], scale)),
            ours=bool(row.experiment),
        )
        for row in table.rows
    ]


def _runs(records: Records, experiment: str, scale: str) -> list[Record]:
    """What stands for an experiment at a scale, in the order of the seeds."""
    return [run for _, run in sorted(records.get((run_of(experiment, scale), scale), {}).items())]


def _measured(records: Records, experiment: str, scale: str, network: int | str, column: str) -> list[float]:
    """A number a run of an experiment, of those in which it was measured; see `value`."""
    numbers = [value(run, network, column) for run in _runs(records, experiment, scale)]
    return [number for number in numbers if number is not None]


def _sweep(sweep: Sweep, records: Records, scale: str) -> tuple[list[list[str]], tuple[str, ...]]:
    found: dict[str, list[Point]] = {}
    for series in sweep.series:
        for x, name, network in series.points:
            if values := _measured(records, name, scale, network, sweep.column):
                runs = _runs(records, name, scale)
                spreads = [_spread(run, sweep.column) for run in runs] if sweep.over_networks else None
                found.setdefault(series.label, []).append(point(x, values, spreads))
    # Where series share their first runs, one of which there is no more has nothing of its own to show.
    found = {label: points for label, points in found.items() if not _starts_another(found, label)}
    bars = "sd over the networks" if sweep.over_networks else "sd over seeds"
    rows = [["series", sweep.x_label, f"{sweep.column} (%)", bars, "n"]]
    for label, points in found.items():
        rows += [
            [label, f"{at.x:g}", f"{at.mean:.2f}", "" if at.sd is None else f"{at.sd:.2f}", str(at.n)] for at in points
        ]
    if not any(len(points) > 1 for points in found.values()):
        return rows, ()  # no line to be seen
    title = sweep.title + (f"\n(bars: {bars})" if any(at.sd for line in found.values() for at in line) else "")
    return rows, (draw_sweep(found, title=title, x_label=sweep.x_label, y_label=f"{sweep.column} (%)"),)


def _starts_another(found: Mapping[str, list[Point]], label: str) -> bool:
    """Whether another series begins with all points of one, or an earlier one is the same."""
    points, order = found[label], list(found)
    others = (other for other in order if other != label and found[other][: len(points)] == points)
    return any(len(found[other]) > len(points) or order.index(other) < order.index(label) for other in others)


def _spread(record: Record, column: str) -> float | None:
    """Standard deviation over the networks of a cohort; None of one network."""
    numbers = [value(record, index, column) for index in range(len(record["metrics"]["networks"]))]
    found = [number for number in numbers if number is not None]
    return stdev(found) if len(found) > 1 else None


def _curves(artifact: Curves, records: Records, scale: str) -> tuple[list[list[str]], tuple[str, ...], str]:
    """A curve for every network of the first run of each experiment that has it, a figure a quantity; and a note."""
    rows, figures, absent, seeds = [["curve", "step", "value", "unit"]], [], [], set[int]()
    for quantity in artifact.quantities:
        unit, factor = unit_of(quantity)
        found: dict[str, tuple[list[float], list[float]]] = {}
        for shown, name in artifact.runs.items():
            having = (run for run in _runs(records, name, scale) if quantity in run.get("curves", {}))
            for record in islice(having, 1):
                course = record["curves"][quantity]
                seeds.add(record["seed"])
                for number, values in enumerate(course["networks"]):
                    label = f"{shown}, Net {number + 1} ({record['networks'][number]})"
                    found[label] = (course["steps"], [factor * one for one in values])
        for label, line in found.items():
            rows += [[label, f"{x:g}", f"{y:.4g}", unit] for x, y in zip(*line, strict=True)]
        if len({label.split(", Net")[0] for label in found}) > 1:  # there is something to compare
            figures.append(draw_curves(found, title=artifact.title, y_label=unit))
        elif not found:
            absent.append(unit)
    notes = [f"Curves of seed {' and '.join(map(str, sorted(seeds)))}."]
    notes += [f"Not recorded on the way (TEST.INTERVAL): {', '.join(absent)}."] if absent else []
    notes += [_end_results(artifact, records, scale)] if artifact.column else []
    return rows, tuple(figures), " ".join(notes) if figures else ""


def _end_results(artifact: Curves, records: Records, scale: str) -> str:
    """Of every curve the mean over the networks, and whether the first two differ."""
    found = {label: _measured(records, name, scale, "mean", artifact.column) for label, name in artifact.runs.items()}
    ends = ", ".join(
        f"{label} {mean_and_sd_cell(values, artifact.column)} (n = {len(values)})"
        for label, values in found.items()
        if values
    )
    p = welch(*list(found.values())[:2])
    return f"At the end, {artifact.column} (%): {ends}" + ("." if p is None else f"; p = {p:.2g}.") if ends else ""


def _posterior(artifact: Posterior, records: Records, scale: str) -> tuple[list[list[str]], tuple[str, ...]]:
    """A curve for every experiment: the mean over its networks and seeds."""
    found: dict[str, list[Point]] = {}
    for shown, name in artifact.runs.items():
        for rank, column in enumerate(RANKED_CLASSES, 1):
            if values := _measured(records, name, scale, "mean", column):
                found.setdefault(shown, []).append(point(rank, values))
    x_label = "class (1: the true one, then by probability)"
    rows = [["networks", x_label, "mean probability", "sd over seeds", "n"]]
    for label, points in found.items():
        rows += [
            [label, f"{at.x:g}", f"{at.mean:.6f}", "" if at.sd is None else f"{at.sd:.6f}", str(at.n)] for at in points
        ]
    if not found:
        return rows, ()
    title = f"{artifact.title}\n(training images; bars: sd over seeds)"
    # On a linear axis the lines of the other classes, which the figure is about, cannot be told apart.
    return rows, (draw_sweep(found, title=title, x_label=x_label, y_label="mean probability", logarithmic=True),)


def _drawn(artifact: Analysis, folder: Path | None) -> tuple[list[list[str]], tuple[str, ...]]:
    """What `reid-dml analyse` left in a folder."""
    if folder is None:
        return [], ()
    with (folder / f"{artifact.command}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return rows, tuple(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.svg")))


def _parameters() -> list[list[str]]:
    """Counted from the networks themselves."""
    rows = [["network", "CVPR", "ours"]]
    for name, printed in TABLE_1.items():
        size = (32, 32) if "cifar" in name or name.startswith("wrn") else (224, 224)
        rows.append([name, printed, f"{summarize(name, size, 100).parameters:,}"])
    return rows
