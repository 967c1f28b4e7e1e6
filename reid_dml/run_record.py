"""The run record, result.json, and the tables printed from its metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from reid_dml.files import write_json
from reid_dml.paper.published import TABLE_3
from reid_dml.run_folder import RunFolder


def write_record(folder: RunFolder, cfg: CfgNode, *, dataset: str, seconds: float, device: str, metrics: dict) -> dict:
    """Write result.json of a finished run and return it."""
    options, environment = cfg.OBJECTIVE, read_environment(folder)
    objective: dict[str, Any] = {"strategy": options.STRATEGY, "label_smoothing": options.LABEL_SMOOTHING}
    if options.STRATEGY != "independent":
        objective |= {
            "reduction": options.PEER_REDUCTION,
            "temperature": options.TEMPERATURE,
            "weight": options.WEIGHT,
            "warmup_steps": options.WARMUP_STEPS,
            **({"ensemble": options.ENSEMBLE} if options.STRATEGY == "dml_e" else {}),
        }
    # A teacher's path without the folders of this machine.
    teachers = ["/".join(Path(path).parts[-2:]) for path in cfg.COHORT.TEACHERS]
    names = ("entropy", "feature_l2", "triplet", "circle", "center")
    weights = {name: options[f"{name.upper()}_WEIGHT"] for name in names}
    regularisers = {name: weight for name, weight in weights.items() if weight > 0}
    record = {
        "experiment": cfg.EXPERIMENT,
        "dataset": dataset,
        "scale": cfg.SCALE,
        "objective": {**objective, "teachers": teachers, "regularisers": regularisers},
        "update": cfg.UPDATE.RULE,
        "networks": list(cfg.COHORT.NETWORKS),
        "seed": cfg.SEED,
        "steps": cfg.TRAIN.STEPS,
        "wall_seconds": round(seconds, 1),
        "device": device,
        # Of the start of the run: the files may have changed since.
        "versions": environment["versions"],
        "git_revision": environment["git_revision"],
        "metrics": metrics,
    }
    write_json(folder.result_file, record)
    return record


def read_environment(folder: RunFolder) -> dict[str, Any]:
    """environment.json of a run: device, versions and git revision at its start."""
    return json.loads((folder.path / "environment.json").read_text())


def network_labels(names: Sequence[str]) -> list[str]:
    """How tables call the networks of a cohort."""
    return [f"network {index} ({name})" for index, name in enumerate(names)]


def metrics_rows(metrics: Mapping[str, Any], labels: Sequence[str], expected: Sequence[str] = ()) -> list[list[str]]:
    """A table of percentages, header first: a row a network, the mean, the ensemble, and the published rows."""
    header = ["", "mAP", "mAP trapezoid", "mINP", "rank-1", "rank-5", "rank-10", "multi mAP", "multi rank-1"]
    rows = [header]
    rows += [[label, *_cells(found)] for label, found in zip(labels, metrics["networks"], strict=True)]
    for label in ("mean", "ensemble"):
        if label in metrics:
            rows.append([label, *_cells(metrics[label])])
    for key in expected:
        published = TABLE_3[key]
        multi = [f"{value:.2f}" for value in published.multi] if published.multi else ["", ""]
        rows.append(
            [published.label, "", f"{published.single[0]:.2f}", "", f"{published.single[1]:.2f}", "", "", *multi]
        )
    return rows


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned for a terminal: the first to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def notes(metrics: Mapping[str, Any]) -> list[str]:
    """What a reader of the table must know: queries without a match, protocols that were not run."""
    first = metrics["networks"][0]
    lines = []
    single = first["single_query"]
    if single["num_unmatched"]:
        lines.append(
            f"{single['num_unmatched']} of {single['num_queries'] + single['num_unmatched']} queries have no "
            "match in the gallery and are left out"
        )
    if "multi_query" not in first:
        lines.append("multi-query was not run: no further images of the query persons (gt_bbox) were given")
    return lines


def _cells(found: Mapping[str, Any]) -> list[str]:
    single, multi = found["single_query"], found.get("multi_query")
    ranks = [single["cmc"][min(rank, len(single["cmc"])) - 1] for rank in (1, 5, 10)]
    values = [single["mAP"], single["mAP_trapezoid"], single["mINP"], *ranks]
    cells = [f"{100 * value:.2f}" for value in values]
    return cells + ([f"{100 * multi['mAP']:.2f}", f"{100 * multi['cmc'][0]:.2f}"] if multi else ["", ""])
