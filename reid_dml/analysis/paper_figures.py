"""Figures made from the records of several runs: end results over something that differs, and curves over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from reid_dml.reporting.figures import draw_panels

# Told apart in grey and by the colour-blind: dark to light (viridis), with a line and a marker of their own.
_COLOURS = ("#440154", "#2a788e", "#5ec962", "#e6a100", "#7a5195")
_LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)))
_MARKERS = ("o", "s", "^", "D", "v")


def _style(number: int, *, marked: bool = True) -> dict[str, Any]:
    """How the line of this number looks, with or without markers; the first 30 all differ."""
    cycles = {"color": _COLOURS, "linestyle": _LINES, "marker": _MARKERS if marked else (None,)}
    return {name: cycle[number % len(cycle)] for name, cycle in cycles.items()}


class Point(NamedTuple):
    """A point of a curve: a mean with the standard deviation that its error bar shows, if any."""

    x: float
    mean: float
    sd: float | None
    n: int


def point(x: float, values: Sequence[float], spreads: Sequence[float | None] | None = None) -> Point:
    """The mean of runs at x.

    Args:
        x: where it stands.
        values: a number a run, one or more.
        spreads: of each run a standard deviation, or None, whose mean the bar shows; None: that over the runs.
    """
    if spreads is None:
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    else:
        known = [one for one in spreads if one is not None]
        sd = float(np.mean(known)) if known else None
    return Point(x, float(np.mean(values)), sd, len(values))


def draw_sweep(
    series: Mapping[str, Sequence[Point]], *, title: str, x_label: str, y_label: str, logarithmic: bool = False
) -> str:
    """Points with error bars, a line a series, as SVG.

    Args:
        series: points in rising order of x, by the label of their line.
        title, x_label, y_label: what stands around the plot.
        logarithmic: the y axis.
    """

    def draw(panels: Sequence[Any]) -> None:
        axes = panels[0]
        ticks = sorted({at.x for points in series.values() for at in points})
        apart = 0.008 * (ticks[-1] - ticks[0])  # so that error bars at one x can be told apart
        for number, (label, points) in enumerate(series.items()):
            axes.errorbar(
                [at.x + apart * (number - (len(series) - 1) / 2) for at in points],
                [at.mean for at in points],
                [at.sd or 0.0 for at in points],
                label=label,
                **_style(number),
                markersize=4,
                linewidth=1.4,
                capsize=2.5,
            )
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        axes.set_yscale("log" if logarithmic else "linear")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.legend()

    return draw_panels(draw, title, size=(5.2, 3.4))


def draw_curves(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, title: str, y_label: str) -> str:
    """Curves over the steps, told apart by colour and kind of line, as SVG.

    Args:
        curves: steps and values, by label.
        title, y_label: what stands around the plot.
    """

    def draw(panels: Sequence[Any]) -> None:
        axes = panels[0]
        for number, (label, (steps, values)) in enumerate(curves.items()):
            axes.plot(
                steps,
                values,
                label=label,
                **_style(number, marked=len(steps) <= 12),
                markersize=4,
                linewidth=1.4,
            )
        axes.set(title=title, xlabel="step", ylabel=y_label)
        axes.figure.legend(loc="outside lower left")  # names of runs are long

    return draw_panels(draw, title, size=(5.2, 3.6 + 0.18 * len(curves)))
