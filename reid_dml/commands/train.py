"""A whole experiment: data, cohort, training, evaluation, record and report."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, ParamSpec

from yacs.config import CfgNode

from reid_dml.cells import markdown_table
from reid_dml.commands.cross import cross_table, cross_tasks, evaluate_tasks, keep_metrics
from reid_dml.commands.presentation import (
    FIGURES,
    expected_rows,
    print_metrics,
    read_control,
    say,
    single_numbers,
    task_report,
)
from reid_dml.commands.training import Plan, build_training, plan_training
from reid_dml.config import flatten, warn_of_idle_options
from reid_dml.data.contents import contents_fingerprint
from reid_dml.data.labels import with_lasting_ids
from reid_dml.data.sets import check_apart
from reid_dml.device import describe_device, prepare_training, resolve_device
from reid_dml.engine.checkpoints import Checkpoints
from reid_dml.engine.loggers import LoggedRun, Loggers, RunResult, check_loggers
from reid_dml.engine.progress import Progress
from reid_dml.engine.schedules.schedule import Schedule
from reid_dml.engine.trainer import Callbacks, Trainer
from reid_dml.errors import UserError
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.features.feature_set import FeatureSet
from reid_dml.models import ReIDNetwork
from reid_dml.mutual.distributed import Placement
from reid_dml.outputs import check_folder
from reid_dml.processes import barrier, first_then_others, processes, rank, world_size
from reid_dml.reporting.tables import network_labels, without_empty_columns
from reid_dml.reporting.task_tables import TABLES
from reid_dml.runs.environment import add_segment, describe_environment, read_environment
from reid_dml.runs.folder import RunFolder, run_fingerprint
from reid_dml.runs.networks import uses_average
from reid_dml.runs.record import read_record, write_record
from reid_dml.runs.weights import export_weights
from reid_dml.tasks.light import evaluate_lightly, light_task
from reid_dml.tasks.retrieval import SPLITS, RetrievalEvaluation
from reid_dml.tasks.task import Evaluation, Task, build_task
from reid_dml.threads import use_threads

logger = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")


def train_and_evaluate(cfg: CfgNode, *, resume: bool | None = False) -> None:
    """Train the cohort of a config into its run folder, evaluate it and write result.json and report.html.

    Args:
        cfg: the config.
        resume: whether the folder may hold this run already, which is then continued; None: also leave one alone that
            has ended, be it that another process has ended it just now.
    """
    references = expected_rows(cfg)  # a wrong key is refused before the training
    if cfg.MODEL.WEIGHTS:
        raise UserError("MODEL.WEIGHTS: is for testing and extraction; training starts from COHORT.INIT_WEIGHTS")
    check_loggers(cfg.LOG.TO)
    device = resolve_device(cfg.DEVICE)
    use_threads(cfg.THREADS)
    prepare_training()
    with processes(device), ExitStack() as held:
        plan = plan_training(cfg)  # what cannot be is refused before any work
        if rank() == 0:
            warn_of_idle_options(cfg)
        folder = RunFolder(cfg.OUTPUT_DIR)
        earlier = first_then_others(lambda: _open(folder, cfg, resume is not False, held))
        if resume is None and earlier and _has_ended(folder, cfg):
            return
        if earlier:
            if not earlier.checkpoint and folder.has_networks():
                raise UserError(
                    f"{folder.checkpoints}: holds no checkpoint, though the run has ended; test it (reid-dml test "
                    f"--run {folder.path}), put its checkpoints back, or remove {folder.path} to train anew"
                )
            cfg = _under_its_name(cfg, folder)
        task = first_then_others(lambda: build_task(cfg))
        others = first_then_others(lambda: cross_tasks(cfg, cfg.DATA.TEST[1:]))
        say(f"{cfg.EXPERIMENT}: {' + '.join(cfg.COHORT.NETWORKS)}, {cfg.OBJECTIVE.STRATEGY}, {cfg.UPDATE.RULE} updates")
        say(f"{cfg.TRAIN.STEPS:,} steps of {cfg.TRAIN.BATCH_SIZE} images on {describe_device(device)}")
        control = read_control(cfg.CONTROL, task.kind)
        say(task.summary())
        # Behind it a captured step and resident images have left their memory to the evaluation.
        networks, seconds, loggers = _train(cfg, plan, device, folder, task, earlier, held)
        if not task.tested:
            say(f"{task.data.root}: all persons are trained on: nothing to evaluate; the networks are in {folder.path}")
            if rank() == 0:
                _record(folder, cfg, task, device, seconds, {})
            return
        say("evaluating")
        place = {"shard": plan.placement.shard, "shards": plan.placement.shards}
        evaluation = task.evaluate(networks, device, **place)
        elsewhere = dict(evaluate_tasks(others, networks, device, **place))
        if rank() > 0:
            return
        if cfg.DATA.TEST:
            for name, metrics in {task.data.name: evaluation.metrics, **elsewhere}.items():
                keep_metrics(str(folder.path), cfg, name, metrics, device)
        if cfg.TEST.SAVE_FEATURES and isinstance(evaluation, RetrievalEvaluation):
            _save_features(folder, evaluation, device)
        record = _record(folder, cfg, task, device, seconds, evaluation.metrics)
        if loggers:
            loggers.result(_result(cfg, task.kind, evaluation, loggers.draws))
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
        if elsewhere:
            say("\n" + cross_table(cfg, {task.data.name: evaluation.metrics, **elsewhere}))
        say(f"\nreport: {folder.report_file}")


def _record(
    folder: RunFolder, cfg: CfgNode, task: Task, device: str, seconds: float, metrics: dict[str, Any]
) -> dict[str, Any]:
    """Write result.json."""
    return write_record(
        folder,
        cfg,
        task=task.kind,
        dataset=task.data.name,
        trained_on=getattr(task.data, "trained_on", ""),
        seconds=seconds,
        device=describe_device(device),
        processes=world_size(),
        metrics=metrics,
    )


@dataclass(frozen=True)
class _Earlier:
    """What is in the run's folder already."""

    steps: int  # that the run was to have
    environment: dict[str, Any]
    checkpoint: int  # step of the last one; 0: none


def _has_ended(folder: RunFolder, cfg: CfgNode) -> bool:
    """Whether the run has the record of all its steps: one that is being lengthened has that of fewer."""
    file = folder.result_file
    return file.is_file() and read_record(file, "remove it to evaluate the run again")["steps"] >= cfg.TRAIN.STEPS


def _open(folder: RunFolder, cfg: CfgNode, resume: bool, held: ExitStack) -> _Earlier | None:
    """Take the folder for this command, and read what is to be continued; None for a new run.

    Raises `UserError` if the run may not go on, is damaged, or was not asked for; nothing is written before that.
    """
    if rank() == 0:
        check_apart(cfg, folder.path)
        check_folder(folder.path, f"OUTPUT_DIR: {folder.path}")
        held.enter_context(folder.lock())
    if resume and folder.config_file.is_file():
        steps, environment = folder.check_same(cfg), read_environment(folder)
        folder.training_data()
        checkpoints = Checkpoints(folder.checkpoints, environment["run"])
        last = max(checkpoints.steps(), default=0)
        if last > cfg.TRAIN.STEPS:
            raise UserError(f"{checkpoints.path(last)}: is behind TRAIN.STEPS {cfg.TRAIN.STEPS}; remove it")
        if last and rank() == 0:
            checkpoints.check(last)
        return _Earlier(steps, environment, last)
    folder.check_free(SPLITS if cfg.TEST.SAVE_FEATURES else ())
    return None


def _under_its_name(cfg: CfgNode, folder: RunFolder) -> CfgNode:
    """The config under the name the run began with, which its record, weights and trackers know it by."""
    name = folder.config(["IMPORTS", cfg.IMPORTS]).EXPERIMENT
    if name == cfg.EXPERIMENT:
        return cfg
    say(f"{folder.path}: goes on under its own name, {name}, not {cfg.EXPERIMENT}")
    cfg = cfg.clone()
    cfg.defrost()
    cfg.EXPERIMENT = name
    cfg.freeze()
    return cfg


def _train(
    cfg: CfgNode,
    plan: Plan,
    device: str,
    folder: RunFolder,
    task: Task,
    earlier: _Earlier | None,
    held: ExitStack,
) -> tuple[Mapping[int, ReIDNetwork], float, Loggers | None]:
    """Train to the end and export the weights: the networks to evaluate by index, and the seconds it took.

    On process 0 also the loggers, which `held` closes.
    """
    training_data = task.data.training_summary()
    if earlier:
        folder.check_data(training_data)
    has_checkpoint = earlier is not None and earlier.checkpoint > 0
    segments = earlier.environment["segments"] if earlier and has_checkpoint else []
    planned = segments[0].get("steps", 0) if segments else 0
    training = build_training(cfg, task.data, device, plan=plan, initialise=not has_checkpoint, planned_steps=planned)
    task.prepare()
    run = (earlier.environment["run"] if earlier else "") or run_fingerprint(cfg, training_data)
    checkpoints = Checkpoints(folder.checkpoints, run)
    trainer = Trainer(
        training,
        total_steps=cfg.TRAIN.STEPS,
        log_interval=cfg.TRAIN.LOG_INTERVAL,
        checkpoint_interval=cfg.TRAIN.CHECKPOINT_INTERVAL,
        test_interval=cfg.TEST.INTERVAL if task.tested else 0,
    )
    if has_checkpoint:
        trainer.resume(checkpoints)
        say(f"{folder.path}: continues at step {trainer.step:,}")
    if rank() == 0:
        environment = describe_environment(device, contents_fingerprint(task.data.train))
        if earlier:
            _continue_record(folder, cfg, training.schedule, earlier, {**environment, "steps": cfg.TRAIN.STEPS}, run)
        else:
            folder.start(cfg, {**environment, "steps": cfg.TRAIN.STEPS}, training_data)
        if cfg.TEST.INTERVAL and not task.tested:
            idle = f"TEST.INTERVAL: {cfg.TEST.INTERVAL}: has no effect, all persons are trained on; set it to 0"
            warnings.warn(idle, stacklevel=2)
    barrier()
    members = training.cohort.members
    networks = {m.index: m.ema if uses_average(cfg) and m.ema is not None else m.network for m in members}
    callbacks = _callbacks(folder, checkpoints, task, networks, device, plan.placement)
    loggers = None
    with ExitStack() as stack:
        if rank() == 0:
            loggers, progress = _open_logs(folder, cfg, run, trainer.step, held)
            stack.enter_context(progress)
            save = _behind(progress.sync, callbacks.save)  # a run that goes on there writes no earlier line again
            callbacks = replace(callbacks, log=_while_there(folder, progress.log), save=save)
        trainer.train(callbacks)
    folder.check_there()
    if plan.placement.shard == 0:
        export_weights(folder, members, run=run, step=trainer.step)
    return networks, trainer.seconds, loggers


def _callbacks(
    folder: RunFolder,
    checkpoints: Checkpoints,
    task: Task,
    networks: Mapping[int, ReIDNetwork],
    device: str,
    placement: Placement,
) -> Callbacks:
    """What all processes do beside the steps: test, save, and say that a training failed."""
    light = light_task(task)

    def test() -> Mapping[str, Any]:
        return evaluate_lightly(light, networks, device, shard=placement.shard, shards=placement.shards)

    def failure(what: str) -> UserError:
        steps = checkpoints.steps()
        good = f"the last good checkpoint is {checkpoints.path(steps[-1])}" if steps else "there is no checkpoint"
        return UserError(f"{folder.path}: {what}; {good}; lower COHORT.LR, or set SCHEDULE.WARMUP_STEPS")

    return Callbacks(test=test, save=_while_there(folder, checkpoints.save), failure=failure)


def _behind(first: Callable[[], None], write: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """The second function, which begins with a call of the first; what that raises keeps it from its work."""

    def both(*arguments: Arguments.args, **named: Arguments.kwargs) -> None:
        first()
        write(*arguments, **named)

    return both


def _while_there(folder: RunFolder, write: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """The function, which raises `UserError` if the folder was removed or replaced."""
    return _behind(folder.check_there, write)


def _open_logs(folder: RunFolder, cfg: CfgNode, run: str, step: int, held: ExitStack) -> tuple[Loggers, Progress]:
    """The loggers, which `held` closes, and the log of a run that goes on behind a step."""
    folder.cut_metrics(step)
    folder.write_config(cfg)  # options that may differ from before, as how to test, are these from now on
    loggers = Loggers(cfg.LOG.TO, LoggedRun(cfg.EXPERIMENT, folder.path, cfg.LOG.PROJECT, run, step, flatten(cfg)))

    def close(kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            loggers.abort(stopped=issubclass(kind, KeyboardInterrupt))
        loggers.close()

    held.push(close)
    return loggers, Progress(folder.metrics_file, loggers, start=step, total=cfg.TRAIN.STEPS)


def _result(cfg: CfgNode, kind: str, evaluation: Evaluation, figures: bool) -> RunResult:
    """What loggers are told at the end."""
    rows = without_empty_columns(TABLES[kind].rows(evaluation.metrics, network_labels(cfg.COHORT.NETWORKS)))
    return RunResult(
        cfg.TRAIN.STEPS,
        single_numbers(evaluation.metrics),
        rows,
        markdown_table(rows),
        FIGURES[kind](evaluation) if figures else {},
    )


def _continue_record(
    folder: RunFolder, cfg: CfgNode, schedule: Schedule, earlier: _Earlier, now: dict[str, Any], run: str
) -> None:
    """Write down how the run goes on, and say what makes it another than one that was never interrupted."""
    differences = add_segment(folder, {**earlier.environment, "run": run}, earlier.checkpoint, now)
    differences = [words for words in differences if not words.startswith("steps was")]
    if differences and earlier.checkpoint:
        logger.warning(
            "%s: goes on otherwise than before: %s; results may differ from those of an uninterrupted run",
            folder.path,
            "; ".join(differences),
        )
    if earlier.steps < cfg.TRAIN.STEPS:
        say(f"{folder.path}: lengthened from {earlier.steps:,} to {cfg.TRAIN.STEPS:,} steps")
        if not schedule.same_until(earlier.checkpoint, earlier.steps):
            logger.warning(
                "SCHEDULE.NAME: %s was that of %s steps up to step %s and is that of %s from there: not the same as "
                "one run of this length",
                cfg.SCHEDULE.NAME,
                f"{earlier.steps:,}",
                f"{earlier.checkpoint:,}",
                f"{cfg.TRAIN.STEPS:,}",
            )


def _save_features(folder: RunFolder, evaluation: RetrievalEvaluation, device: str) -> None:
    """Write the evaluated features, by split, as `reid-dml extract` would extract them."""
    model = FeatureExtractor.from_run(folder.path, device=device).model
    for split, features in evaluation.features.items():
        records = [with_lasting_ids(record) for record in features.records()]
        FeatureSet.of(features.features, records, model).save(folder.features_file(split))
