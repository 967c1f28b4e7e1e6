"""A whole experiment: data, cohort, training, evaluation, record and report; and the evaluation of a trained cohort."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.pipeline.sources import make_source
from reid_dml.device import describe_device, keep_freed_memory, prepare_training, resolve_device, versions
from reid_dml.engine.checkpoints import Checkpoints
from reid_dml.engine.trainer import Trainer, build_cohort, place
from reid_dml.errors import UserError
from reid_dml.files import check_folder, check_output, write_json
from reid_dml.models import ReIDNetwork
from reid_dml.models.backbones import check_name
from reid_dml.mutual.objective import Objective, build_objective
from reid_dml.mutual.updates import UpdateRule, build_rule
from reid_dml.paper.published import published_rows
from reid_dml.processes import barrier, first_then_others, processes, rank, world_size
from reid_dml.reporting.report import write_report
from reid_dml.reporting.tables import MetricsTable, ReferenceRow, format_table, network_labels, without_empty_columns
from reid_dml.runs.folder import RunFolder, class_names
from reid_dml.runs.networks import load_networks, uses_average
from reid_dml.runs.record import write_record
from reid_dml.tasks.task import Task, build_task
from reid_dml.threads import use_threads
from reid_dml.timing import stages_line


def train_and_evaluate(cfg: CfgNode, *, resume: bool = False) -> None:
    """Train the cohort of a config into its run folder, evaluate it and write result.json and report.html."""
    references = published_rows(cfg.EXPECTED, cfg.DATA.NAME)  # a wrong key is refused before the training
    if cfg.MODEL.WEIGHTS:
        raise UserError("MODEL.WEIGHTS: is for testing and extraction; training starts from COHORT.INIT_WEIGHTS")
    rule, objective = build_rule(cfg), build_objective(cfg)  # unknown names are refused before any work, too
    for name in cfg.COHORT.NETWORKS:
        check_name(name)
    device = resolve_device(cfg.DEVICE)
    use_threads(cfg.THREADS)
    prepare_training()
    with processes(device):
        place(cfg)  # refuses numbers of processes that do not go with the cohort
        if world_size() > 1 and not rule.distributed:
            raise UserError(
                f"UPDATE.RULE: {cfg.UPDATE.RULE} works in one process only, {world_size()} were started; "
                "set it to simultaneous"
            )
        folder = RunFolder(cfg.OUTPUT_DIR)
        continues = first_then_others(lambda: _open(folder, cfg, resume))
        task = first_then_others(lambda: build_task(cfg))
        seconds, metrics = _train(cfg, rule, objective, device, folder, task, continues)
        if rank() == 0:
            _finish(cfg, device, folder, task, seconds, metrics, references)


def _open(folder: RunFolder, cfg: CfgNode, resume: bool) -> bool:
    """Whether the folder's run goes on; raises `UserError` if it may not, or holds one that was not asked for."""
    if resume and folder.config_file.is_file():
        folder.check_same(cfg)
        return True
    folder.check_free()
    check_folder(folder.path, f"OUTPUT_DIR: {folder.path}")
    return False


def _train(
    cfg: CfgNode, rule: UpdateRule, objective: Objective, device: str, folder: RunFolder, task: Task, continues: bool
) -> tuple[float, dict]:
    """Train to the end and evaluate: seconds of training and, on process 0, the metrics."""
    say(f"{cfg.EXPERIMENT}: {' + '.join(cfg.COHORT.NETWORKS)}, {cfg.OBJECTIVE.STRATEGY}, {cfg.UPDATE.RULE} updates")
    say(f"{cfg.TRAIN.STEPS:,} steps of {cfg.TRAIN.BATCH_SIZE} images on {describe_device(device)}")
    say(task.summary())
    training_data = task.data.training_summary()
    if continues:
        folder.check_data(training_data)
    has_checkpoint = continues and bool(Checkpoints(folder.checkpoints).steps())
    cohort = build_cohort(cfg, class_names(training_data), objective, device, initialise=not has_checkpoint)
    source = make_source(cfg, task.data.train, task.data.class_ids, AugmentSpec.num_draws, device)
    task.prepare()
    if rank() == 0 and not continues:
        folder.start(cfg, device, training_data)
    trainer = Trainer(cfg, cohort, rule, objective, source, folder, device)
    if has_checkpoint:
        trainer.resume()
        say(f"{folder.path}: continues at step {trainer.step:,}")
    barrier()
    with folder.lock() if rank() == 0 else nullcontext():
        if rank() == 0:
            folder.cut_metrics(trainer.step)
            folder.write_config(cfg)  # options that may differ from before, as how to test, are these from now on
        trainer.train()
    networks = {m.index: m.ema if uses_average(cfg) and m.ema is not None else m.network for m in cohort.members}
    seconds, placement = trainer.seconds, trainer.placement
    del trainer, source, cohort  # a recorded step and resident images leave their memory to the evaluation
    say("evaluating")
    return seconds, task.evaluate(networks, device, part=placement.shard, parts=placement.shards)


def _finish(
    cfg: CfgNode,
    device: str,
    folder: RunFolder,
    task: Task,
    seconds: float,
    metrics: dict,
    references: Sequence[ReferenceRow],
) -> None:
    record = write_record(
        folder,
        cfg,
        task=task.kind,
        dataset=task.data.name,
        seconds=seconds,
        device=describe_device(device),
        processes=world_size(),
        metrics=metrics,
    )
    write_report(folder.report_file, record, folder.read_metrics(), task.table, task.sections(metrics), references)
    _print_metrics(task.table, metrics, network_labels(cfg.COHORT.NETWORKS), references)
    say(f"\nreport: {folder.report_file}")


def evaluate_weights(cfg: CfgNode, *, json_file: str | None = None, report_file: str | None = None) -> None:
    """Evaluate the networks of `MODEL.WEIGHTS` on the config's data set, print and, if asked, write the result."""
    references = published_rows(cfg.EXPECTED, cfg.DATA.NAME)
    for output in (json_file, report_file):
        if output:
            check_output(output)
    keep_freed_memory()
    device = resolve_device(cfg.DEVICE)
    use_threads(cfg.THREADS)
    with processes(device):
        networks = load_networks(cfg, cfg.MODEL.WEIGHTS, device)
        task = first_then_others(lambda: build_task(cfg))
        if task.uses_heads:
            _check_heads(networks, task, cfg.MODEL.WEIGHTS)
        metrics = task.evaluate(networks, device, part=rank(), parts=world_size())
        if rank() > 0:
            return
        names = [cfg.COHORT.NETWORKS[index] for index in networks]
        _print_metrics(task.table, metrics, network_labels(names, list(networks)), references)
        if json_file:
            write_json(json_file, metrics)
        if report_file:
            record = {
                "experiment": f"{cfg.EXPERIMENT}: {cfg.MODEL.WEIGHTS}",
                "networks": names,
                "indices": list(networks),
                "dataset": task.data.name,
                "metrics": metrics,
                "device": describe_device(device),
                "versions": versions(),
            }
            write_report(report_file, record, [], task.table, task.sections(metrics), references)


def _check_heads(networks: Mapping[int, ReIDNetwork], task: Task, path: str) -> None:
    classes = {network.num_classes for network in networks.values()}
    folder = RunFolder(path if Path(path).is_dir() else Path(path).parent)
    known = folder.classes_file.is_file()
    if not known:
        warnings.warn(
            f"{folder.classes_file}: not found; whether the rows of the heads stand for this data set's classes cannot "
            "be checked",
            stacklevel=2,
        )
    others = known and folder.class_names() != class_names(task.data.training_summary())
    if others or classes != {len(task.data.class_ids)}:
        without = ", or set TEST.TRAIN_ACCURACY False" if task.kind == "retrieval" else ""
        raise UserError(
            f"{path}: the rows of the heads stand for other classes than the training split's; test on the "
            f"data set they were trained on{without}"
        )


def _print_metrics(
    table: MetricsTable, metrics: dict, labels: Sequence[str], references: Sequence[ReferenceRow]
) -> None:
    say("\n" + format_table(without_empty_columns(table.rows(metrics, labels, references))))
    for line in table.notes(metrics):
        say(line)
    say(stages_line())


def say(text: str) -> None:
    """Print on process 0."""
    if rank() == 0:
        print(text, flush=True)
