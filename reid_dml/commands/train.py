"""A whole experiment: data, cohort, training, evaluation, record and report."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import replace

from yacs.config import CfgNode

from reid_dml.commands.presentation import print_metrics, read_control, say, single_numbers, task_report
from reid_dml.commands.training import Plan, build_training, plan_training
from reid_dml.config import flatten
from reid_dml.device import describe_device, prepare_training, resolve_device
from reid_dml.engine.checkpoints import Checkpoints
from reid_dml.engine.progress import Progress, record_result
from reid_dml.engine.trainer import Callbacks, Trainer
from reid_dml.errors import UserError
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.files import check_folder
from reid_dml.models import ReIDNetwork
from reid_dml.paper.published import published_rows
from reid_dml.processes import barrier, first_then_others, processes, rank, world_size
from reid_dml.reporting.tables import network_labels
from reid_dml.runs.folder import RunFolder
from reid_dml.runs.networks import uses_average
from reid_dml.runs.record import write_record
from reid_dml.runs.weights import export_weights
from reid_dml.tasks.retrieval import RetrievalEvaluation
from reid_dml.tasks.task import Task, build_task
from reid_dml.threads import use_threads


def train_and_evaluate(cfg: CfgNode, *, resume: bool = False) -> None:
    """Train the cohort of a config into its run folder, evaluate it and write result.json and report.html."""
    references = published_rows(cfg.EXPECTED, cfg.DATA.NAME)  # a wrong key is refused before the training
    if cfg.MODEL.WEIGHTS:
        raise UserError("MODEL.WEIGHTS: is for testing and extraction; training starts from COHORT.INIT_WEIGHTS")
    device = resolve_device(cfg.DEVICE)
    use_threads(cfg.THREADS)
    prepare_training()
    with processes(device):
        plan = plan_training(cfg)  # what cannot be is refused before any work
        folder = RunFolder(cfg.OUTPUT_DIR)
        continues = first_then_others(lambda: _open(folder, cfg, resume))
        task = first_then_others(lambda: build_task(cfg))
        say(f"{cfg.EXPERIMENT}: {' + '.join(cfg.COHORT.NETWORKS)}, {cfg.OBJECTIVE.STRATEGY}, {cfg.UPDATE.RULE} updates")
        say(f"{cfg.TRAIN.STEPS:,} steps of {cfg.TRAIN.BATCH_SIZE} images on {describe_device(device)}")
        control = read_control(cfg.CONTROL, task.kind)
        say(task.summary())
        # Behind it a captured step and resident images have left their memory to the evaluation.
        networks, seconds = _train(cfg, plan, device, folder, task, continues=continues)
        say("evaluating")
        evaluation = task.evaluate(networks, device, shard=plan.placement.shard, shards=plan.placement.shards)
        if rank() > 0:
            return
        if cfg.TEST.SAVE_FEATURES and isinstance(evaluation, RetrievalEvaluation):
            _save_features(folder, evaluation, device)
        record = write_record(
            folder,
            cfg,
            task=task.kind,
            dataset=task.data.name,
            seconds=seconds,
            device=describe_device(device),
            processes=world_size(),
            metrics=evaluation.metrics,
        )
        record_result(folder.path, cfg.TRAIN.STEPS, flatten(cfg), single_numbers(evaluation.metrics))
        lines = folder.read_metrics()
        task_report(
            folder.report_file,
            record,
            task.kind,
            evaluation,
            references,
            lines=lines,
            control=control,
            control_folder=cfg.CONTROL,
        )
        print_metrics(task.kind, evaluation.metrics, network_labels(cfg.COHORT.NETWORKS), references)
        say(f"\nreport: {folder.report_file}")


def _open(folder: RunFolder, cfg: CfgNode, resume: bool) -> bool:
    """Whether the folder's run goes on; raises `UserError` if it may not, or holds one that was not asked for."""
    if resume and folder.config_file.is_file():
        folder.check_same(cfg)
        return True
    if folder.holds_run():
        raise UserError(
            f"{folder.path}: holds a run already; continue it with --resume, remove it, or set OUTPUT_DIR to another "
            "folder"
        )
    check_folder(folder.path, f"OUTPUT_DIR: {folder.path}")
    return False


def _train(
    cfg: CfgNode, plan: Plan, device: str, folder: RunFolder, task: Task, *, continues: bool
) -> tuple[Mapping[int, ReIDNetwork], float]:
    """Train to the end and export the weights: the networks to evaluate by index, and the seconds it took."""
    training_data = task.data.training_summary()
    if continues:
        folder.check_data(training_data)
    checkpoints = Checkpoints(folder.checkpoints)
    has_checkpoint = continues and bool(checkpoints.steps())
    training = build_training(cfg, task.data, device, plan=plan, initialise=not has_checkpoint)
    task.prepare()
    if rank() == 0 and not continues:
        folder.start(cfg, device, training_data)
    trainer = Trainer(
        training,
        total_steps=cfg.TRAIN.STEPS,
        log_interval=cfg.TRAIN.LOG_INTERVAL,
        checkpoint_interval=cfg.TRAIN.CHECKPOINT_INTERVAL,
    )
    if has_checkpoint:
        trainer.resume(checkpoints)
        say(f"{folder.path}: continues at step {trainer.step:,}")
    barrier()

    def failure(what: str) -> UserError:
        steps = checkpoints.steps()
        good = f"the last good checkpoint is {checkpoints.path(steps[-1])}" if steps else "there is no checkpoint"
        return UserError(f"{folder.path}: {what}; {good}; lower COHORT.LR, or set SCHEDULE.WARMUP_STEPS")

    with folder.lock() if rank() == 0 else nullcontext():
        callbacks = Callbacks(save=checkpoints.save, failure=failure)
        with ExitStack() as stack:
            if rank() == 0:
                folder.cut_metrics(trainer.step)
                folder.write_config(cfg)  # options that may differ from before, as how to test, are these from now on
                progress = Progress(folder.metrics_file, folder.path, start=trainer.step, total=cfg.TRAIN.STEPS)
                callbacks = replace(callbacks, log=stack.enter_context(progress).log)
            trainer.train(callbacks)
        members = training.cohort.members
        if plan.placement.shard == 0:
            export_weights(folder, members)
    networks = {m.index: m.ema if uses_average(cfg) and m.ema is not None else m.network for m in members}
    return networks, trainer.seconds


def _save_features(folder: RunFolder, evaluation: RetrievalEvaluation, device: str) -> None:
    """Write the evaluated features, by split, as `tools/extract_features.py` would extract them."""
    model = FeatureExtractor.from_run(folder.path, device=device).model
    for split, features in evaluation.features.items():
        replace(features, model=model).save(folder.path / f"{split}.npz")
