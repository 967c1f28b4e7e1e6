"""Drawing: each function takes plain data and returns one SVG."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes  # seconds to import: only where something is drawn, not before training starts

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "font.family": "sans-serif",
}
_FEW = 10  # points of a curve that are shown as such


def draw_lines(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    percent: bool = False,
    markers: bool = False,
    diagonal: str = "",
    y_range: tuple[float, float] | None = None,
    filled: bool = False,
) -> str:
    """Named curves in one plot, as an SVG element.

    Args:
        curves: x and y of each by its label.
        title, x_label, y_label: what stands around the plot.
        percent: y is a fraction, shown in percent.
        markers: show the points; where there are few, they are shown anyway, as one point alone makes no line.
        diagonal: label of a grey line through (0, 0) and (1, 1); empty: none.
        y_range: of the y axis, where figures are to be compared; None: that of the data.
        filled: the area below each curve is tinted.
    """
    from matplotlib.ticker import PercentFormatter

    def draw(axes: Axes) -> None:
        for label, (x, y) in curves.items():
            points = markers or len(x) <= _FEW
            axes.plot(x, y, label=label, linewidth=1.4, marker="o" if points else None, markersize=3)
            if filled:
                axes.fill_between(x, y, alpha=0.2)
        if diagonal:
            axes.axline((0, 0), slope=1, label=diagonal, color="0.6", linestyle="--", linewidth=1)
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        if percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        if y_range:
            axes.set_ylim(y_range[0], y_range[1] + 0.02 * (y_range[1] - y_range[0]))
        elif filled:
            axes.set_ylim(bottom=0)
        axes.legend()

    return _svg(draw, title)


def _svg(draw: Callable[[Axes], None], salt: str) -> str:
    return draw_panels(lambda axes: draw(axes[0]), salt, size=(4.6, 3.0))


def draw_panels(
    draw: Callable[[Sequence[Axes]], None], salt: str, *, size: tuple[float, float], grid: tuple[int, int] = (1, 1)
) -> str:
    """What `draw` puts on the axes of one figure, as an SVG element that is the same for the same content.

    Args:
        draw: is given the axes, row by row.
        salt: its title; the names inside the SVG are made from it.
        size: width and height in inches.
        grid: rows and columns of axes.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure, axes = plt.subplots(*grid, figsize=size, layout="constrained", squeeze=False)
        try:
            draw(list(axes.flat))
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        finally:
            plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
