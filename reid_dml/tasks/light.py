"""A light evaluation between the steps of a training: the few numbers that a curve over the steps shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reid_dml.models import ReIDNetwork
from reid_dml.tasks.task import TASKS, Task

# Left out: what takes its time and is asked of the final networks only.
_WITHOUT = {
    "MULTI_QUERY": "none",
    "RERANK": False,
    "EXPAND": 0,
    "FPR": [],
    "ENSEMBLE_SIZES": [],
    "TRAIN_ACCURACY": False,
}


def light_task(task: Task) -> Task:
    """The same task with single queries and test images only."""
    cfg = task.cfg.clone()
    cfg.defrost()
    cfg.TEST.update(_WITHOUT)
    cfg.freeze()
    return TASKS[task.kind](cfg, task.data)


def evaluate_lightly(
    task: Task, networks: Mapping[int, ReIDNetwork], device: str, *, shard: int = 0, shards: int = 1
) -> dict[str, Any]:
    """The headline numbers of the whole cohort on process 0, empty elsewhere; networks and generators stay as they are.

    Args:
        task: a `light_task`.
        networks, device, shard, shards: as for `Task.evaluate`.

    Returns:
        {"networks": [{name: value}, ...], "ensemble": {name: value}}, fractions in [0, 1]; one network is no ensemble.
    """
    metrics = task.evaluate(networks, device, shard=shard, shards=shards).metrics
    if not metrics:
        return {}
    ensemble = {"ensemble": task.headline(metrics["ensemble"])} if "ensemble" in metrics else {}
    return {"networks": [task.headline(found) for found in metrics["networks"]], **ensemble}
