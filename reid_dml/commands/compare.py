"""A table of runs and data sets, from the records in run folders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from reid_dml.cohort_metrics import metrics_by_label
from reid_dml.data.sets.protocol import with_protocol
from reid_dml.errors import UserError
from reid_dml.files import read_json, write_json, write_text
from reid_dml.reporting.cross_table import chosen_metrics, cross_rows
from reid_dml.reporting.tables import csv_text, format_table
from reid_dml.runs.folder import RunFolder, run_folders

_REMEDY = "test the run again (reid-dml test DATA.TEST ...)"


def compare_runs(
    runs: Sequence[str | os.PathLike[str]],
    *,
    network: str = "ensemble",
    json_file: str | None = None,
    csv_file: str | None = None,
) -> None:
    """Print what every run reached on every data set it was tested on, the one of its training first.

    Args:
        runs: run folders.
        network: see `reporting.cross_table.cross_rows`.
        json_file, csv_file: where to write the table, too.

    Raises:
        UserError: a folder that is no finished run of persons, or a damaged record.
    """
    folders = run_folders(runs)
    models = {name: read_tests(folder) for name, folder in folders.items()}
    trained_on = {name: _trained_on(folder) for name, folder in folders.items()}
    sets = list(dict.fromkeys(name for found in models.values() for name in found))
    rows = cross_rows(models, sets, network, trained_on)
    print(format_table(rows))
    if csv_file:
        write_text(csv_file, csv_text(rows))
    if json_file:
        chosen = {
            model: {name: chosen_metrics(metrics, network, f"{model}: {name}") for name, metrics in found.items()}
            for model, found in models.items()
        }
        write_json(json_file, {"network": network, "models": chosen})


def _trained_on(folder: RunFolder) -> str:
    """The data sets that a finished run was trained on; empty where its record does not say."""
    file = folder.result_file
    record = read_json(file, _REMEDY) if file.is_file() else {}
    names = str(record.get("trained_on") or record.get("dataset", "")).split(" + ")
    try:
        return " + ".join(with_protocol(name, record.get("protocol", {})) for name in names)
    except (AttributeError, TypeError):
        raise UserError(f"{file}: damaged; {_REMEDY}") from None


def read_tests(folder: RunFolder) -> dict[str, Mapping[str, Any]]:
    """The metrics of a run's cohort by data set and how it was read: of its record, and of `tests/`.

    Raises `UserError` for a record that is missing, damaged or of a set of classes.
    """
    files = [file for file in (folder.result_file, *folder.tests_files()) if file.is_file()]
    if not files:
        raise UserError(
            f"{folder.result_file}: missing; finish the run, or test it first (reid-dml test --run {folder.path} "
            "DATA.TEST ...)"
        )
    found: dict[str, Mapping[str, Any]] = {}
    for file in files:
        record = read_json(file, _REMEDY)
        if record.get("task", "retrieval") != "retrieval":
            raise UserError(f"{file}: a run of {record['task']}; only runs of persons are compared over data sets")
        if not record.get("metrics") and file == folder.result_file:
            continue  # all persons were trained on
        try:
            name, metrics = with_protocol(str(record["dataset"]), record.get("protocol", {})), record["metrics"]
            mean = [metrics["mean"]] if "mean" in metrics else []
            for entry in (metrics["networks"][0], *metrics_by_label(metrics).values(), *mean):
                for number in (entry["single_query"]["mAP"], entry["single_query"]["cmc"][0]):
                    if not isfinite(number):
                        raise ValueError
        except (AttributeError, KeyError, TypeError, ValueError, IndexError, OverflowError):
            raise UserError(f"{file}: damaged; {_REMEDY}") from None
        found[name] = metrics
    return found
