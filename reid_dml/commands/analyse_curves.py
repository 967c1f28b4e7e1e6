"""The courses of several runs in one figure a quantity, with the same as CSV. Needs their logs, no networks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from reid_dml.analysis.curves import curves_of_runs, unit_of
from reid_dml.analysis.paper_figures import draw_curves
from reid_dml.errors import UserError
from reid_dml.files import write_text
from reid_dml.outputs import check_folder
from reid_dml.reporting.tables import csv_text
from reid_dml.runs.folder import run_folders
from reid_dml.text import printable


def analyse_curves(runs: Sequence[str], output: str | os.PathLike[str]) -> None:
    """Write `curves_loss.svg`, a figure for every test metric that was measured on the way, and `curves.csv`.

    Args:
        runs: run folders, of runs that have ended or not.
        output: folder for the files.

    Raises:
        UserError: no run, or one without a log.
    """
    if not runs:
        raise UserError("curves: give --run and a run folder")
    output = Path(output)
    check_folder(output, f"--output {output}")
    logs = {}
    for name, folder in run_folders(runs).items():
        if not folder.metrics_file.exists():
            raise UserError(
                f"{folder.path}: has no metrics.jsonl: a training writes it every TRAIN.LOG_INTERVAL steps, a model "
                "folder has none; name a run folder"
            )
        logs[printable(name)] = folder.read_metrics()
        if not logs[printable(name)]:
            raise UserError(
                f"{folder.metrics_file}: holds no line yet; a run writes one every TRAIN.LOG_INTERVAL steps of training"
            )
    rows = [["quantity", "network", "step", "value"]]
    for quantity, curves in curves_of_runs(logs).items():
        unit, factor = unit_of(quantity)
        shown = {label: (steps, [factor * value for value in values]) for label, (steps, values) in curves.items()}
        title = "Identity loss in training" if quantity == "loss" else f"Test {quantity}"
        write_text(output / f"curves_{quantity}.svg", draw_curves(shown, title=title, y_label=unit))
        print(output / f"curves_{quantity}.svg")
        for label, (steps, values) in curves.items():
            rows += [[quantity, label, f"{step}", f"{value:.6g}"] for step, value in zip(steps, values, strict=True)]
    write_text(output / "curves.csv", csv_text(rows))
    print(output / "curves.csv")
