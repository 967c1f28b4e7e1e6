"""Running the experiments of the papers: those that are missing, in an order that is worth most."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from yacs.config import CfgNode

from reid_dml.commands.reproduce_figures import draw_analysis, keep_copies
from reid_dml.commands.train import train_and_evaluate
from reid_dml.data.sets import load_data
from reid_dml.device import describe_device, resolve_device
from reid_dml.engine.checkpoints import Checkpoints
from reid_dml.errors import BusyError, UserError, user_message
from reid_dml.outputs import check_folder
from reid_dml.paper.artifacts import ARTIFACTS, choose, experiments_behind, experiments_of, run_of
from reid_dml.paper.experiments import EXPERIMENTS
from reid_dml.paper.kinds import Analysis
from reid_dml.paper.pace import Pace
from reid_dml.paper.recipes import has_recipe, recipe
from reid_dml.paper.records import Place, Records
from reid_dml.runs.folder import RunFolder, config_text
from reid_dml.threads import use_threads
from reid_dml.timing import duration

_WAIT = 5.0  # seconds between two looks at runs that other processes work on


@dataclass(frozen=True)
class Job:
    """A run that is missing."""

    name: str
    seed: int
    cfg: CfgNode

    @property
    def title(self) -> str:
        """What progress calls it."""
        return f"{self.name}, seed {self.seed}"

    @property
    def begun(self) -> int:
        """Step of its last checkpoint; 0: it has none."""
        return max(Checkpoints(RunFolder(self.cfg.OUTPUT_DIR).checkpoints).steps(), default=0)

    @property
    def missing_teacher(self) -> str:
        """The file of a teacher that is not there yet; empty: it can start."""
        return next((teacher for teacher in self.cfg.COHORT.TEACHERS if not Path(teacher).exists()), "")


def missing_jobs(
    chosen: Sequence[str], place: Place, scale: str, seeds: int, overrides: Sequence[str] = ()
) -> list[Job]:
    """Runs of tables, figures and experiments that have neither a record nor, where they are needed, their networks.

    In the order of the names; of each, all runs of a seed before those of the next; a teacher before its student.

    Args:
        chosen: names, groups resolved.
        place: where runs and records are.
        scale: of the recipes.
        seeds: runs of each experiment.
        overrides: `KEY VALUE ...` for all runs.

    Raises:
        UserError: a record that is damaged or of something else, or a teacher's run without its weights.
    """
    records = place.records()
    jobs: dict[tuple[str, int], Job] = {}

    def add(name: str, seed: int, with_networks: bool) -> None:
        experiment = EXPERIMENTS[name]
        if (name, seed) in jobs or not has_recipe(experiment, scale):
            return
        cfg = recipe(experiment, scale, seed, place.runs, overrides)
        # Records are checked where they are read: one that is here is that of this run.
        if RunFolder(cfg.OUTPUT_DIR).result_file.is_file():
            return
        if cfg.SEED in records.get((name, scale), {}) and not with_networks:
            return
        if experiment.teacher:
            add(run_of(experiment.teacher, scale), seed, True)
        jobs[name, seed] = Job(name, seed, cfg)

    for name in chosen:
        # The networks of one seed are enough to look into them.
        looks_into = isinstance(ARTIFACTS.get(name), Analysis)
        with_networks = looks_into and place.drawn(name, scale) is None
        for seed in range(1 if looks_into else seeds):
            for experiment in experiments_behind(name, scale):
                add(experiment, seed, with_networks)
    for job in jobs.values():
        file = Path(job.missing_teacher)
        if job.missing_teacher and RunFolder.of(file).result_file.is_file():
            raise UserError(f"{file}: not found, though the run has ended; copy it there, or remove {file.parent}")
    return list(jobs.values())


def run_experiments(
    names: Sequence[str],
    place: Place,
    *,
    scale: str,
    seeds: int = 1,
    minutes: float = 0,
    overrides: Sequence[str] = (),
) -> int:
    """Run what is missing, go on with what was begun, and leave to other processes what they work on.

    Args:
        names: of tables, figures, groups of them, or experiments.
        place: where runs and records are.
        scale: of the recipes.
        seeds: runs of each experiment, which differ in their seeds.
        minutes: begin only what fits into them, and stop when they are over; 0: no limit.
        overrides: `KEY VALUE ...` for all runs, of where and how they run.

    Returns:
        The exit code: 2 where a run failed, which the others survive.

    Raises:
        UserError: an unknown name, options that do not fit, or a folder that cannot be written.
    """
    check_folder(place.runs, f"--output {place.runs}")
    if place.keep:
        check_folder(place.keep, f"--keep {place.keep}")
    chosen = choose(names)
    _check_recipes(chosen, scale)
    work = _Work(missing_jobs(chosen, place, scale, seeds, overrides))
    with _time_limit(minutes) as left:
        _run_jobs(work, chosen, place, scale, left)
        for name in chosen:
            if isinstance(artifact := ARTIFACTS.get(name), Analysis) and left() > 0:
                try:
                    draw_analysis(name, artifact, place, scale, overrides)
                except Exception as error:
                    work.failed[name] = _told(error)
    _keep(work, chosen, place, scale)
    for job in work.pending:
        if job.missing_teacher and job.title not in work.busy:
            work.failed[job.title] = f"{job.missing_teacher}: the teacher is missing"
        else:
            print(f"not run: {job.title}: does not fit into the time")
    for title, why in work.failed.items():
        print(f"error: {title}: {why}", file=sys.stderr)
    return 2 if work.failed else 0


@dataclass
class _Work:
    """How far the command is; kept where the time ends it in the middle."""

    pending: list[Job]
    busy: set[str] = field(default_factory=set)  # titles of those that other processes work on
    failed: dict[str, str] = field(default_factory=dict)  # why, by title; figures and copies, too


def _run_jobs(work: _Work, chosen: Sequence[str], place: Place, scale: str, left: Callable[[], float]) -> None:
    """Run what can start and fits into the seconds that are left, and wait for what other processes work on."""
    tried = set[str]()
    while left() > 0:
        job = _next(work.pending, work.busy, place, scale, left())
        if job is None and not work.busy:
            return
        if job is None:  # nothing to do but to wait for other processes
            time.sleep(_WAIT)
            work.busy.clear()
            continue
        work.pending.remove(job)
        if job.title not in tried:  # what another process works on is tried again and again
            print(f"\n=== {job.title} ({scale}); {len(work.pending)} more to run", flush=True)
        tried.add(job.title)
        try:
            _check_data(job.cfg)
            train_and_evaluate(job.cfg, resume=None)
        except BusyError:
            work.pending.append(job)
            work.busy.add(job.title)
        except Exception as error:
            work.failed[job.title] = _told(error)
        else:
            _keep(work, chosen, place, scale)
        finally:
            _free_memory()


def _keep(work: _Work, chosen: Sequence[str], place: Place, scale: str) -> None:
    """Copy all that there is. A copy that fails takes nothing from the runs, and the next time makes up for it."""
    title = f"--keep {place.keep}"
    work.failed.pop(title, None)
    try:
        keep_copies(chosen, place, scale)
    except Exception as error:
        work.failed[title] = _told(error)


def _check_recipes(chosen: Sequence[str], scale: str) -> None:
    """Say what has no recipe at a scale. Raises `UserError` where nothing has one."""
    behind = {name: experiments_behind(name, scale) for name in chosen}
    without = [
        name
        for name, found in behind.items()
        if found and not any(has_recipe(EXPERIMENTS[one], scale) for one in found)
    ]
    if without and len(without) == len(chosen):
        raise UserError(f"{', '.join(without)}: there is no recipe at the scale {scale}; use --scale full")
    for name in without:
        print(f"not run: {name}: there is no recipe at the scale {scale}")


def _check_data(cfg: CfgNode) -> None:
    """Raise `UserError` before a run whose record would not be that of its experiment: CIFAR has unofficial splits."""
    if cfg.DATA.NAME.startswith("cifar") and (found := load_data(cfg).name) != cfg.DATA.NAME:
        raise UserError(f"DATA.ROOT {cfg.DATA.ROOT}: holds {found}, not {cfg.DATA.NAME} (see datasets/README.md)")


def _told(error: Exception) -> str:
    """What is said of a run that failed, now and at the end. A defect of the code ends everything."""
    message = user_message(error)
    if not message:
        raise error
    print(f"error: {message}", file=sys.stderr, flush=True)
    return message


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _next(pending: Sequence[Job], busy: set[str], place: Place, scale: str, left: float) -> Job | None:
    """The first run that can start and, unless it was begun before, will end within the seconds that are left."""
    candidates = [job for job in pending if not job.missing_teacher and job.title not in busy]
    if left == float("inf"):
        return next(iter(candidates), None)
    records = place.records()
    for job in candidates:
        seconds = None if job.begun else training_seconds(job.cfg, records, scale)
        if seconds is None or seconds <= left:
            return job
    return None


def training_seconds(cfg: CfgNode, records: Records, scale: str) -> float | None:
    """Seconds that the training of a run will take here, from records of this device and threads; None: unknown.

    Args:
        cfg: of the run.
        records: of all runs.
        scale: of its recipe.
    """
    use_threads(cfg.THREADS)
    found = (record for runs in records.values() for record in runs.values())
    pace = Pace(found, describe_device(resolve_device(cfg.DEVICE)), scale, cfg.DATA.NAME)
    return pace.seconds(cfg.COHORT.NETWORKS, cfg.TRAIN.STEPS, tuple(cfg.INPUT.SIZE))


@contextmanager
def _time_limit(minutes: float) -> Iterator[Callable[[], float]]:
    """A function that says how many seconds are left; when none are, the run under way saves where it is and stops."""
    if not minutes:
        yield lambda: float("inf")
        return
    end, over = time.monotonic() + 60 * minutes, threading.Event()

    def stop() -> None:
        over.set()
        os.kill(os.getpid(), signal.SIGTERM)  # training answers it with a checkpoint

    timer = threading.Timer(60 * minutes, stop)
    timer.daemon = True
    timer.start()
    try:
        yield lambda: end - time.monotonic()
    except KeyboardInterrupt:
        if not over.is_set():
            raise
        print(f"\nthe {duration(60 * minutes)} are over; run the command again to go on where it stopped")
    finally:
        timer.cancel()


def run_side_by_side(words: Sequence[str], jobs: int) -> int:
    """Start the same command several times, a GPU each where there are any; they share the runs by their locks.

    Args:
        words: of the command line behind the interpreter.
        jobs: how many.

    Returns:
        0 if all ended well, else the code of one that did not; 1 if it was killed.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = given.split(",") if given else [str(number) for number in range(torch.cuda.device_count())]
    started = [
        subprocess.Popen(
            [sys.executable, *words, "--jobs", "1"],
            env={**os.environ, **({"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {})},
        )
        for number in range(jobs)
    ]
    try:
        return max(1 if code < 0 else code for code in [process.wait() for process in started])
    except KeyboardInterrupt:  # they got the signal, too, or get it now
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait()
        raise


def print_config(name: str, place: Place, scale: str, seed: int) -> None:
    """Print the config of a run. Started from it by `reid-dml train`, it counts here, too.

    Args:
        name: of an experiment.
        place: where its run would go.
        scale, seed: of the run.

    Raises:
        UserError: an unknown name, or no recipe at this scale.
    """
    if name not in EXPERIMENTS:
        choose([name])  # says which is near
        runs = ", ".join(experiments_of(ARTIFACTS[name], scale)) if name in ARTIFACTS else "those that `list` shows"
        if not runs:
            raise UserError(f"{name}: nothing is run for it; see reid-dml reproduce report {name}")
        raise UserError(f"{name}: is made of several runs; name one of {runs}")
    print(config_text(recipe(EXPERIMENTS[run_of(name, scale)], scale, seed, place.runs)), end="")
