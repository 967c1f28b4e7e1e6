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


def draw_lines(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    percent: bool = False,
    markers: bool = False,
    diagonal: str = "",
) -> str:
    """Named curves in one plot, as an SVG element.

    Args:
        curves: x and y of each by its label.
        title, x_label, y_label: what stands around the plot.
        percent: y is a fraction, shown in percent.
        markers: show the points.
        diagonal: label of a grey line through (0, 0) and (1, 1); empty: none.
    """
    from matplotlib.ticker import PercentFormatter

    def draw(axes: Axes) -> None:
        for label, (x, y) in curves.items():
            axes.plot(x, y, label=label, linewidth=1.4, marker="o" if markers else None, markersize=3)
        if diagonal:
            axes.axline((0, 0), slope=1, label=diagonal, color="0.6", linestyle="--", linewidth=1)
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        if percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.legend()

    return _svg(draw, title)


def _svg(draw: Callable[[Axes], None], salt: str) -> str:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure, axes = plt.subplots(figsize=(4.6, 3.0), layout="constrained")
        draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
