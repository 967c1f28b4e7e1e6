"""What the report shows of the training: curves of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reid_dml.analysis.curves import training_curves
from reid_dml.reporting.figures import draw_lines
from reid_dml.reporting.sections import Section, plots

_CURVES = (  # name in the log, title, unit, whether a share
    ("loss", "Loss", "nats", False),
    ("identity", "Loss on the labels", "nats", False),
    ("mimicry", "Mimicry loss (KL to the peers)", "nats", False),
    ("accuracy", "Accuracy on training batches", "", True),
    ("learning_rate", "Learning rate", "", False),
)


def training_section(lines: Sequence[Mapping[str, Any]]) -> Section:
    """The section, from the lines of metrics.jsonl; without lines it says that there was no training."""
    figures = [
        draw_lines(curves, title=title, x_label="step", y_label=unit, percent=percent)
        for name, title, unit, percent in _CURVES
        if (curves := training_curves(lines, name))
    ]
    nothing = "<p>No training log: these weights were only evaluated.</p>"
    return Section("Training", plots(figures) if figures else nothing)
