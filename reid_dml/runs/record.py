"""The run record, result.json."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from reid_dml.data.semi_supervised import hides_labels
from reid_dml.data.sets.protocol import unusual
from reid_dml.errors import UserError
from reid_dml.files import read_json, write_json
from reid_dml.mutual.objective import build_objective
from reid_dml.runs.curves import recorded_curves
from reid_dml.runs.environment import read_environment
from reid_dml.runs.folder import RunFolder

# What the records of all versions hold.
_FIELDS: dict[str, Any] = {
    **dict.fromkeys(("experiment", "scale", "dataset", "device", "update", "git_revision"), str),
    **dict.fromkeys(("seed", "steps"), int),
    **dict.fromkeys(("metrics", "versions", "objective"), dict),
    "wall_seconds": (int, float),
    "networks": list,
}


def write_record(
    folder: RunFolder,
    cfg: CfgNode,
    *,
    task: str,
    dataset: str,
    trained_on: str = "",
    seconds: float,
    device: str,
    processes: int,
    metrics: dict,
) -> dict:
    """Write result.json of a finished run and return it.

    Args:
        folder, cfg: of the run.
        task: its name.
        dataset: name of the data set.
        trained_on: names of the training images' data sets, where they are of other ones.
        seconds: of training, over all parts.
        device: in words.
        processes: their number.
        metrics: of `Task.evaluate`.
    """
    environment = read_environment(folder)
    # A teacher's path without the folders of this machine.
    teachers = ["/".join(Path(path).parts[-2:]) for path in cfg.COHORT.TEACHERS]
    protocol = unusual(cfg.PROTOCOL, [dataset, *trained_on.split(" + ")])
    record = {
        "experiment": cfg.EXPERIMENT,
        "task": task,
        "dataset": dataset,  # of the metrics
        **({"trained_on": trained_on} if trained_on else {}),
        **({"protocol": protocol} if protocol else {}),
        "scale": cfg.SCALE,
        "objective": {**build_objective(cfg.OBJECTIVE).record(), "teachers": teachers},
        **({"semi_supervised": {key.lower(): value for key, value in cfg.SEMI.items()}} if hides_labels(cfg) else {}),
        "update": cfg.UPDATE.RULE,
        "networks": list(cfg.COHORT.NETWORKS),
        "seed": cfg.SEED,
        "processes": processes,
        "batch_size": cfg.TRAIN.BATCH_SIZE,
        "accumulation": cfg.TRAIN.ACCUMULATION,
        "precision": cfg.TRAIN.PRECISION,
        "test": {key.lower(): value for key, value in cfg.TEST.items()},
        "steps": cfg.TRAIN.STEPS,
        "wall_seconds": round(seconds, 1),
        "device": device,
        # Of the start of the run: the files may have changed since.
        "versions": environment["versions"],
        "git_revision": environment["git_revision"],
        # Where it went on otherwise, as `runs.environment` says.
        **({"segments": environment["segments"]} if len(environment["segments"]) > 1 else {}),
        "metrics": metrics,
        "curves": recorded_curves(folder.read_metrics()),
    }
    write_json(folder.result_file, record)
    return record


def read_record(file: Path, remedy: str) -> dict[str, Any]:
    """The record of a run; its `metrics` are empty where nothing was tested on, or has those of every network.

    Args:
        file: result.json, or a copy of it.
        remedy: what to do where it is none, for the error.

    Raises:
        UserError: a file that is missing, damaged or no such record, as those in `tests/` of a run folder.
    """
    record = read_json(file, remedy)
    if not _is_record(record):
        raise UserError(f"{file}: not a run record (result.json of a run), or one with fields missing; {remedy}")
    return record


def _is_record(record: Mapping[str, Any]) -> bool:
    if not all(isinstance(record.get(key), kind) for key, kind in _FIELDS.items()):
        return False
    metrics, names = record["metrics"], record["networks"]
    networks = metrics.get("networks") if metrics else [{}] * len(names)
    whole = isinstance(networks, list) and all(isinstance(found, dict) for found in networks)
    return whole and 0 < len(networks) == len(names) and 0 <= record["wall_seconds"] < inf
