"""A whole experiment: data, cohort, training, evaluation, record and report."""

from __future__ import annotations

from yacs.config import CfgNode

from reid_dml.analysis.report import write_report
from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.pipeline.sources import make_source
from reid_dml.device import describe_device, resolve_device
from reid_dml.engine.task import build_task
from reid_dml.engine.trainer import Trainer, build_cohort
from reid_dml.errors import UserError
from reid_dml.mutual.distributed import barrier, processes, rank, world_size
from reid_dml.mutual.objective import build_objective
from reid_dml.mutual.updates import UPDATE_RULES
from reid_dml.paper.published import TABLE_3
from reid_dml.run_folder import RunFolder
from reid_dml.run_record import format_table, metrics_rows, notes, write_record


def train_and_evaluate(cfg: CfgNode, *, resume: bool = False) -> None:
    """Train the cohort of a config into its run folder, evaluate it and write result.json and report.html."""
    unknown = [key for key in cfg.EXPECTED if key not in TABLE_3]
    if unknown:
        raise UserError(f"EXPECTED: {unknown[0]!r} is not one of {', '.join(TABLE_3)}")
    device = resolve_device(cfg.DEVICE, cfg.THREADS)
    with processes(device):
        _train_and_evaluate(cfg, device, resume)


def _train_and_evaluate(cfg: CfgNode, device: str, resume: bool) -> None:
    rule, objective = UPDATE_RULES[cfg.UPDATE.RULE], build_objective(cfg)
    if world_size() > 1 and not rule.distributed:
        raise UserError(f"UPDATE.RULE: {cfg.UPDATE.RULE} works in one process only, {world_size()} were started; set it "
                        "to simultaneous")  # fmt: skip
    folder = RunFolder(cfg.OUTPUT_DIR)
    started = folder.config_file.is_file()
    if started and resume:
        folder.check_same(cfg)
    elif rank() == 0:
        folder.check_free()
    if rank() == 0:
        say(f"{cfg.EXPERIMENT}: {' + '.join(cfg.COHORT.NETWORKS)}, {cfg.OBJECTIVE.STRATEGY}, {cfg.UPDATE.RULE} updates, "
            f"{cfg.TRAIN.STEPS:,} steps of {cfg.TRAIN.BATCH_SIZE} on {describe_device(device)}")  # fmt: skip
        task = build_task(cfg)  # process 0 first: it may have to draw a data set
    barrier()
    if rank() > 0:
        task = build_task(cfg)
    say(f"{task.data.name}: {len(task.train):,} training images of {len(task.class_ids):,} persons, "
        f"{len(task.data.query):,} queries, {len(task.data.gallery):,} gallery images")  # fmt: skip
    cohort = build_cohort(cfg, len(task.class_ids), device)
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
            folder, cfg, dataset=task.data.name, seconds=trainer.seconds, device=describe_device(device), metrics=metrics
        )
        write_report(folder.report_file, record, folder.read_metrics(), task.features, cfg.EXPECTED)
        say("\n" + format_table(metrics_rows(metrics, cfg.COHORT.NETWORKS, cfg.EXPECTED)))
        for line in notes(metrics):
            say(line)
        say(f"\nreport: {folder.report_file}")


def say(text: str) -> None:
    """Print on process 0."""
    if rank() == 0:
        print(text, flush=True)
