"""Networks on data sets they were not trained on: `DATA.TEST`, the records of it in a run folder, and a table of many.

What a run folder's cohort reached on a data set is kept there as `tests/<data set>.json`, with a `PROTOCOL` that is not
the default in the name, as `viper_split_3.json`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from yacs.config import CfgNode

from reid_dml.cohort_metrics import indices_of
from reid_dml.commands.presentation import print_metrics, say
from reid_dml.config import warn_of_idle_test_options
from reid_dml.data.joined import repeated
from reid_dml.data.sets import alone
from reid_dml.data.sets.protocol import with_protocol
from reid_dml.device import describe_device, keep_freed_memory, resolve_device
from reid_dml.errors import UserError, describe_os_error
from reid_dml.files import write_json
from reid_dml.models import ReIDNetwork
from reid_dml.processes import first_then_others, processes, rank, world_size
from reid_dml.reporting.cross_table import cross_rows
from reid_dml.reporting.tables import format_table, network_labels
from reid_dml.runs.folder import RunFolder
from reid_dml.runs.networks import load_networks, network_names
from reid_dml.tasks.task import Task, build_task
from reid_dml.threads import use_threads
from reid_dml.versions import versions


def evaluate_on_sets(cfg: CfgNode, *, json_file: str | None = None) -> None:
    """Evaluate the networks of `MODEL.WEIGHTS` on every data set of `DATA.TEST`, print and record what they reach.

    Args:
        cfg: the config; its `TEST` says how to evaluate.
        json_file: where to write the metrics by data set, too.

    Raises:
        UserError: weights, data or options that do not go together.
    """
    keep_freed_memory()
    device = resolve_device(cfg.DEVICE)
    use_threads(cfg.THREADS)
    with processes(device):
        if rank() == 0:
            warn_of_idle_test_options(cfg)
        networks = load_networks(cfg, cfg.MODEL.WEIGHTS, device)
        tasks = first_then_others(lambda: cross_tasks(cfg, cfg.DATA.TEST))
        labels = network_labels(network_names(cfg, networks), list(networks))
        place = {"shard": rank(), "shards": world_size()}
        found: dict[str, Any] = {}
        for name, metrics in evaluate_tasks(tasks, networks, device, **place):
            if rank() == 0:
                say(f"\n{tasks[name].data.root}: {with_protocol(name, cfg.PROTOCOL)}")
                print_metrics("retrieval", metrics, labels)
                keep_metrics(cfg.MODEL.WEIGHTS, cfg, name, metrics, device)
                found[name] = metrics
        if rank() == 0:
            if len(found) > 1:
                say("\n" + cross_table(cfg, found))
            if json_file:
                write_json(json_file, {"data_sets": found})


def tested_task(cfg: CfgNode) -> Task:
    """The task of a config for testing alone. Raises `UserError` if its data set has nothing to test on."""
    task = build_task(cfg, training=False)
    if not task.tested:
        raise UserError(f"{task.data.root}: nothing to evaluate on, all persons are trained on; raise OWN.TEST_SHARE")
    return task


def cross_tasks(cfg: CfgNode, entries: Sequence[str]) -> dict[str, Task]:
    """The task of each data set by its name, all of them read before any work.

    Args:
        cfg: the config.
        entries: of `DATA.TEST`.

    Raises:
        UserError: a data set that cannot be read or has nothing to test on, or two of one name.
    """
    tasks = []
    for entry in entries:
        own = alone(cfg, entry)
        own.defrost()
        own.TEST.TRAIN_ACCURACY = False
        own.freeze()
        tasks.append(tested_task(own))
    if twice := repeated(task.data.name for task in tasks):
        raise UserError(f"DATA.TEST: two data sets are called {twice!r}; rename the folder of one")
    return {task.data.name: task for task in tasks}


def evaluate_tasks(
    tasks: Mapping[str, Task], networks: Mapping[int, ReIDNetwork], device: str, *, shard: int, shards: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The metrics of networks on each task, one after another, on process 0; elsewhere they are empty.

    Args:
        tasks: by name of the data set.
        networks, device, shard, shards: as for `Task.evaluate`.
    """
    for name, task in tasks.items():
        say(f"evaluating on {name}: {task.test_summary()}")
        yield name, task.evaluate(networks, device, shard=shard, shards=shards).metrics


def cross_table(cfg: CfgNode, found: Mapping[str, Mapping[str, Any]]) -> str:
    """What a cohort reached on several data sets, as a table.

    Args:
        cfg: by which was evaluated.
        found: metrics of the cohort by name of the data set.
    """
    named = {with_protocol(name, cfg.PROTOCOL): metrics for name, metrics in found.items()}
    return format_table(cross_rows({cfg.EXPERIMENT: named}, list(named)))


def keep_metrics(weights: str, cfg: CfgNode, name: str, metrics: Mapping[str, Any], device: str) -> None:
    """Write the metrics of a run folder's cohort beside its record; those of single weights files are not kept.

    Args:
        weights: `MODEL.WEIGHTS`, or the run folder.
        cfg: by which was evaluated.
        name: of the data set.
        metrics: of the cohort.
        device: it was computed on.
    """
    folder = RunFolder(weights)
    if not folder.config_file.is_file():
        return
    record = {
        "experiment": cfg.EXPERIMENT,
        "dataset": name,
        "networks": [cfg.COHORT.NETWORKS[index] for index in indices_of(metrics)],
        "test": {key.lower(): value for key, value in cfg.TEST.items()},
        "protocol": {key.lower(): value for key, value in cfg.PROTOCOL.items()},
        "device": describe_device(device),
        "versions": versions(),
        "metrics": metrics,
    }
    file = folder.tests_file(with_protocol(name, cfg.PROTOCOL))
    try:
        file.parent.mkdir(exist_ok=True)
        write_json(file, record)
    except OSError as error:
        warnings.warn(f"{describe_os_error(error)}; the metrics are not kept in the run folder", stacklevel=2)
