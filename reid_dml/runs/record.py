"""The run record, result.json."""

from __future__ import annotations

from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.semi_supervised import hides_labels
from reid_dml.data.sets.protocol import unusual
from reid_dml.files import write_json
from reid_dml.mutual.objective import build_objective
from reid_dml.runs.curves import recorded_curves
from reid_dml.runs.environment import read_environment
from reid_dml.runs.folder import RunFolder


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
