"""docs/results.md from the committed run records, beside the published numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reid_dml.config import load_config
from reid_dml.errors import UserError
from reid_dml.paper.published import PUBLISHED, Rows
from reid_dml.reporting.tables import network_labels, without_empty_columns
from reid_dml.tasks.cohort_metrics import mean_and_sd
from reid_dml.tasks.task import TABLES

_INTRODUCTION = """# Measured results

Generated from the run records in `results/` by `make results`; no number of the tables is typed in by hand. Every row
is one run with its seed or, where it says n, the mean ± sd (of the sample) of n runs that differ in their seeds only.
Numbers are percentages, but for entropy and loss (nats).

mAP is the mean precision at the matches, mAP trapezoid the official MATLAB definition (the one the papers report); see
`docs/evaluation.md`. Top-1, top-5, ECE and entropy: see `docs/classification.md`. A data set called "unofficial split"
has the official images, but not the official division into training and test images: its numbers are close to
official ones, not equal.

Multi-query pools the gt_bbox images of the test identities; those of the training identities are never used.

Runs named `*_cpu` start from ImageNet weights without the last pointwise convolution, its batch norm and the
classifier, which start fresh. A run of scale `small` is a shortened recipe: it shows that the code learns, and is too
short to rank methods. How little its rows can tell, two of them show: `market_small_dml_2_processes` computes what
`market_small_dml` does, and the log of one process with one thread was equal to that of two processes to the last digit
over the 300 steps compared. What separates the two rows is rounding: two threads add up in another order than one.
In the five epochs of the `cifar100_small_*` runs, mutual learning trails its control: untrained peers slow the start.
With a mimicry weight that rises over the first epoch and a half, or over all five, the networks' mean top-1 does not
trail; in the first of these two cases the ensemble's still does. That is one seed and a fortieth of the schedule, and
no conclusion about the method; `cifar100_small_resnet32_single_10_epochs` shows what the network reaches alone in twice
the time. A run of scale `full` has the full length of its recipe. Those of the papers' recipes (not `cifar/wd`, whose
weight decay the paper does not print, nor ImageNet's `_modern`) may be compared with the published rows.
"""


_NOT_MEASURED = """## Not measured

No record at the full scale yet: {names}.
"""


def read_records(folder: Path) -> list[dict[str, Any]]:
    """All run records below a folder, by path; those of `benchmarks/` are no runs.

    Raises `UserError` for a file that is none, and for a folder without any.
    """
    records = []
    for path in sorted(set(folder.rglob("*.json")) - set((folder / "benchmarks").rglob("*.json"))):
        try:
            record = json.loads(path.read_text())
            record["metrics"]["networks"], record["experiment"]
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{path}: not a run record (result.json of a run); remove it or copy the record again"
            ) from None
        records.append(record)
    if not records:
        raise UserError(f"{folder}: holds no run records (result.json of runs); check the path")
    return records


def full_experiments(configs: Path) -> list[str]:
    """Names of the experiments at the full scale below a folder of configs."""
    shared = ("base", "small", "wd")  # files that others build on
    loaded = [load_config(path) for path in sorted(configs.rglob("*.yml")) if not path.stem.endswith(shared)]
    return [cfg.EXPERIMENT for cfg in loaded if cfg.SCALE == "full"]


def results_page(records: Sequence[Mapping[str, Any]], full: Sequence[str] = ()) -> str:
    """The page: a section a data set, with a table of all its runs, the published rows and how each was measured.

    `full` names the experiments of which a record at the full scale is wanted.
    """
    parts = [_INTRODUCTION]
    for dataset in sorted({record["dataset"] for record in records}):
        own = [record for record in records if record["dataset"] == dataset]
        parts.append(f"## {dataset}\n")
        parts.append(_table(own))
        if published := PUBLISHED.get(dataset.removesuffix(" (unofficial split)")):
            parts.append("### Published\n")
            parts.append(_published_table(published))
        parts.append("### How it was measured\n")
        parts += [_how(record) for record in own]
    measured = {record["experiment"] for record in records if record["scale"] == "full"}
    if missing := [f"`{name}`" for name in full if name not in measured]:
        parts.append(_NOT_MEASURED.format(names=", ".join(missing)))
    return "\n".join(parts)


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    rows: list[list[str]] = []
    for experiment in dict.fromkeys(record["experiment"] for record in records):
        runs = [record for record in records if record["experiment"] == experiment]
        header, *body = _rows(runs)
        rows = rows or [["experiment", *header]]
        title = experiment + (f" (n = {len(runs)})" if len(runs) > 1 else "")
        rows += [[title if number == 0 else "", *cells] for number, cells in enumerate(body)]
    return markdown_table(without_empty_columns(rows))


def _rows(runs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Header and rows of one experiment: of its run, or mean ± sd over its runs, which differ in their seeds."""
    # Records of before there was a second task do not name theirs.
    table = TABLES[runs[0].get("task", "retrieval")]
    labels = network_labels(runs[0]["networks"])
    if len(runs) == 1:
        return table.rows(runs[0]["metrics"], labels)
    if len({run["seed"] for run in runs}) < len(runs):
        raise UserError(
            f"{runs[0]['experiment']}: two records of one seed; remove one, or name their experiments apart"
        )
    (header, *means), (_, *deviations) = (
        table.rows(metrics, labels) for metrics in mean_and_sd([_measured(run) for run in runs])
    )
    both = [zip(mean[1:], deviation[1:], strict=True) for mean, deviation in zip(means, deviations, strict=True)]
    cells = [[f"{mean} ± {deviation}" if mean else "" for mean, deviation in row] for row in both]
    return [header, *([mean[0], *row] for mean, row in zip(means, cells, strict=True))]


def _measured(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run's metrics without the deviations among its networks, of which a deviation says nothing."""
    return {key: value for key, value in run["metrics"].items() if key != "sd"}


def _published_table(published: Rows) -> str:
    found = [row for rows in published.values() for row in rows]
    columns = list(dict.fromkeys(column for row in found for column in row.cells))
    body = {
        row.label: [f"{row.cells[column]:.2f}" if column in row.cells else "" for column in columns] for row in found
    }
    return markdown_table([["row", *columns], *([label, *cells] for label, cells in body.items())])


def _how(record: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    objective = ", ".join(f"{key} {value}" for key, value in record["objective"].items() if value not in ([], {}))
    processes, precision = record.get("processes", 1), record.get("precision", "float32")
    device = record["device"] + (f", {processes} processes" if processes > 1 else "")
    return (
        f"- **{record['experiment']}** (scale {record['scale']}): {objective}; {record['update']} updates; "
        f"{record['steps']:,} steps in {precision}; seed {record['seed']}; {record['wall_seconds'] / 60:.1f} minutes "
        f"of training; {device}; {versions}; revision `{record['git_revision']}`\n"
    )


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A table of cells, header first."""
    header, *body = rows
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join("---" for _ in header) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in body]
    return "\n".join(lines) + "\n"
