"""What the report shows of the training: curves of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reid_dml.analysis.curves import evaluation_curves, training_curves
from reid_dml.mutual.terms import term_kinds
from reid_dml.report_page.sections import Section, plots
from reid_dml.reporting.figures import draw_lines


def training_section(lines: Sequence[Mapping[str, Any]]) -> Section:
    """The section, from the lines of metrics.jsonl; without lines it says that there was no training."""
    wanted = (  # name in the log, title, unit, whether a share
        ("loss", "Loss", "nats", False),
        *((kind.name, kind.title, kind.unit, False) for kind in term_kinds()),
        ("accuracy", "Accuracy on training batches", "", True),
        ("learning_rate", "Learning rate", "", False),
    )
    figures = [
        draw_lines(curves, title=title, x_label="step", y_label=unit, percent=percent)
        for name, title, unit, percent in wanted
        if (curves := training_curves(lines, name))
    ]
    figures += [
        draw_lines(curves, title=f"Test {name}", x_label="step", y_label="", percent=True)
        for name, curves in evaluation_curves(lines).items()
    ]
    nothing = "<p>No training log: these weights were only evaluated.</p>"
    return Section("Training", plots(figures) if figures else nothing)
