"""A whole experiment: data, cohort, training, evaluation, record and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from yacs.config import CfgNode

from reid_dml.analysis.report import write_report
from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.pipeline.sources import make_source
from reid_dml.device import describe_device, resolve_device, versions
from reid_dml.engine.task import Task, build_task
from reid_dml.engine.trainer import Trainer, build_cohort
from reid_dml.errors import UserError
from reid_dml.files import write_json
from reid_dml.models import ReIDNetwork
from reid_dml.mutual.distributed import barrier, processes, rank, world_size
from reid_dml.mutual.objective import build_objective
from reid_dml.mutual.updates import UPDATE_RULES
from reid_dml.paper.published import TABLE_3
from reid_dml.retrieval.task import RetrievalTask
from reid_dml.run_folder import RunFolder
from reid_dml.run_record import format_table, metrics_rows, network_labels, notes, write_record
from reid_dml.trained_networks import load_networks


def train_and_evaluate(cfg: CfgNode, *, resume: bool = False) -> None:
    """Train the cohort of a config into its run folder, evaluate it and write result.json and report.html."""
    _check_expected(cfg)
    device = resolve_device(cfg.DEVICE, cfg.THREADS)
    # Adam's first moments of parameters without a gradient halve at every step (beta 0.5) and become denormal after
    # some 130 steps: CPUs then compute at less than half the speed. Threads inherit the setting when they start, so
    # it comes before the first parallel operation.
    torch.set_flush_denormal(True)
    with processes(device):
        _train_and_evaluate(cfg, device, resume)


def _train_and_evaluate(cfg: CfgNode, device: str, resume: bool) -> None:
    rule, objective = UPDATE_RULES[cfg.UPDATE.RULE], build_objective(cfg)
    if world_size() > 1 and not rule.distributed:
        raise UserError(
            f"UPDATE.RULE: {cfg.UPDATE.RULE} works in one process only, {world_size()} were started; set it "
            "to simultaneous"
        )
    folder = RunFolder(cfg.OUTPUT_DIR)
    started = folder.config_file.is_file()
    if started and resume:
        folder.check_same(cfg)
    elif rank() == 0:
        folder.check_free()
    if rank() == 0:
        names = " + ".join(cfg.COHORT.NETWORKS)
        say(f"{cfg.EXPERIMENT}: {names}, {cfg.OBJECTIVE.STRATEGY}, {cfg.UPDATE.RULE} updates")
        say(f"{cfg.TRAIN.STEPS:,} steps of {cfg.TRAIN.BATCH_SIZE} images on {describe_device(device)}")
    task = _build_task(cfg)
    say(
        f"{task.data.name}: {len(task.train):,} training images of {len(task.class_ids):,} persons, "
        f"{len(task.data.query):,} queries, {len(task.data.gallery):,} gallery images"
    )
    if started and resume:
        folder.check_classes(task.class_ids)
    cohort = build_cohort(cfg, task.class_ids, objective, device)
    source = make_source(cfg, task.train, task.class_ids, AugmentSpec.num_draws, device)
    if rank() == 0 and not (started and resume):
        folder.start(cfg, device)
        folder.write_classes(task.class_ids, task.data.original_ids)
    barrier()
    trainer = Trainer(cfg, cohort, rule, objective, source, folder, device)
    if resume and not trainer.resume():
        say(f"{folder.path}: no checkpoint yet, training starts at the beginning")
    if rank() == 0:
        folder.cut_metrics(trainer.step)
    trainer.train()
    evaluate_ema = cfg.EMA.ENABLED and cfg.TEST.WEIGHTS != "last"
    networks = {m.index: m.ema if evaluate_ema and m.ema is not None else m.network for m in cohort.members}
    say("evaluating")
    metrics = task.evaluate(networks, device)
    if rank() == 0:
        record = write_record(
            folder,
            cfg,
            dataset=task.data.name,
            seconds=trainer.seconds,
            device=describe_device(device),
            metrics=metrics,
        )
        write_report(folder.report_file, record, folder.read_metrics(), task.features, cfg.EXPECTED)
        _print_metrics(metrics, cfg.COHORT.NETWORKS, cfg.EXPECTED)
        say(f"\nreport: {folder.report_file}")


def evaluate_weights(cfg: CfgNode, *, json_file: str | None = None, report_file: str | None = None) -> None:
    """Evaluate the networks of `MODEL.WEIGHTS` on the config's data set, print and, if asked, write the result."""
    _check_expected(cfg)
    device = resolve_device(cfg.DEVICE, cfg.THREADS)
    with processes(device):
        networks = load_networks(cfg, cfg.MODEL.WEIGHTS, device)
        task = _build_task(cfg)
        if cfg.TEST.TRAIN_ACCURACY:
            _check_heads(networks, task, cfg.MODEL.WEIGHTS)
        metrics = task.evaluate(networks, device, shared=True)
        if rank() > 0:
            return
        names = [cfg.COHORT.NETWORKS[index] for index in networks]
        if json_file:
            write_json(json_file, metrics)
        if report_file:
            title = f"{cfg.EXPERIMENT}: {cfg.MODEL.WEIGHTS}"
            record = {
                "experiment": title,
                "networks": names,
                "dataset": task.data.name,
                "metrics": metrics,
                "device": describe_device(device),
                "versions": versions(),
            }
            write_report(report_file, record, [], task.features, cfg.EXPECTED)
        _print_metrics(metrics, names, cfg.EXPECTED)


def _check_heads(networks: Mapping[int, ReIDNetwork], task: Task, path: str) -> None:
    classes = {network.num_classes for network in networks.values()}
    if classes != {len(task.class_ids)}:
        raise UserError(
            f"{path}: identity heads have {min(classes)} rows, the training split {len(task.class_ids)} persons; "
            "test on the data set they were trained on, or set TEST.TRAIN_ACCURACY False"
        )


def _build_task(cfg: CfgNode) -> RetrievalTask:
    """The task with its data; process 0 first, because it may have to draw a data set."""
    if rank() > 0:
        barrier()
    task = build_task(cfg)
    if rank() == 0:
        barrier()
    return task


def _check_expected(cfg: CfgNode) -> None:
    unknown = [key for key in cfg.EXPECTED if key not in TABLE_3]
    if unknown:
        raise UserError(f"EXPECTED: {unknown[0]!r} is not one of {', '.join(TABLE_3)}")


def _print_metrics(metrics: dict, names: Sequence[str], expected: Sequence[str]) -> None:
    say("\n" + format_table(metrics_rows(metrics, network_labels(names), expected)))
    for line in notes(metrics):
        say(line)


def say(text: str) -> None:
    """Print on process 0."""
    if rank() == 0:
        print(text, flush=True)
