"""The evaluation of networks that were trained before."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from yacs.config import CfgNode

from reid_dml.commands.cross import evaluate_on_sets, tested_task
from reid_dml.commands.presentation import expected_rows, print_metrics, read_control, task_report
from reid_dml.config import warn_of_idle_test_options
from reid_dml.device import describe_device, keep_freed_memory, resolve_device
from reid_dml.errors import UserError, absolute
from reid_dml.files import write_json
from reid_dml.models import ReIDNetwork
from reid_dml.processes import first_then_others, processes, rank, world_size
from reid_dml.reporting.tables import network_labels
from reid_dml.runs.folder import RunFolder
from reid_dml.runs.networks import load_networks, network_names
from reid_dml.runs.sources import classes_hash, head_classes
from reid_dml.tasks.task import Task
from reid_dml.threads import use_threads
from reid_dml.versions import versions


def evaluate_weights(cfg: CfgNode, *, json_file: str | None = None, report_file: str | None = None) -> None:
    """Evaluate the networks of `MODEL.WEIGHTS` on the config's data set, print and, if asked, write the result.

    With `DATA.TEST` on each of its data sets instead, see `commands.cross`.

    Args:
        cfg: the config; its `TEST` says how to evaluate.
        json_file: where to write the metrics.
        report_file: where to write a page with the table and its pictures.

    Raises:
        UserError: weights, data or options that do not go together, or an output that cannot be written.
    """
    if cfg.DATA.TEST:
        if report_file:
            raise UserError(f"--report {report_file}: shows one data set; name it by DATA.NAME in place of DATA.TEST")
        evaluate_on_sets(cfg, json_file=json_file)
        return
    references = expected_rows(cfg)
    keep_freed_memory()
    device = resolve_device(cfg.DEVICE)
    use_threads(cfg.THREADS)
    with processes(device):
        if rank() == 0:
            warn_of_idle_test_options(cfg)
        networks = load_networks(cfg, cfg.MODEL.WEIGHTS, device)
        task = first_then_others(lambda: tested_task(cfg))
        control = read_control(cfg.CONTROL, task.kind) if report_file else None
        if task.uses_heads:
            _check_heads(networks, task, cfg.MODEL.WEIGHTS)
        evaluation = task.evaluate(networks, device, shard=rank(), shards=world_size())
        if rank() > 0:
            return
        names = network_names(cfg, networks)
        print_metrics(task.kind, evaluation.metrics, network_labels(names, list(networks)), references)
        if json_file:
            write_json(json_file, evaluation.metrics)
        if report_file:
            record = {
                "experiment": f"{cfg.EXPERIMENT}: {cfg.MODEL.WEIGHTS}",
                "networks": names,
                "dataset": task.data.name,
                "metrics": evaluation.metrics,
                "device": describe_device(device),
                "versions": versions(),
            }
            task_report(
                report_file,
                record,
                task.kind,
                evaluation,
                references,
                control=control,
                control_folder=cfg.CONTROL,
            )


def _check_heads(networks: Mapping[int, ReIDNetwork], task: Task, path: str) -> None:
    """Raise `UserError` unless the rows of the heads stand for the classes of the training split."""
    classes = {network.num_classes for network in networks.values()}
    if 0 in classes:
        raise UserError(f"{path}: an exported file gives features and no classes; test the run or model it is of")
    known = head_classes(path)
    if not known:
        warnings.warn(
            f"{absolute(RunFolder.of(path).classes_file)}: not found; whether the rows of the heads stand for "
            "this data set's classes cannot be checked",
            stacklevel=2,
        )
    others = known and known != classes_hash(task.data.class_names)
    if others or classes != {len(task.data.class_ids)}:
        without = ", or set TEST.TRAIN_ACCURACY False" if task.kind == "retrieval" else ""
        raise UserError(
            f"{path}: the rows of the heads stand for other classes than the training split's; test on the "
            f"data set they were trained on{without}"
        )
