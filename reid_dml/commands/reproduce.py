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
from dataclasses import dataclass
from pathlib import Path

import torch
from yacs.config import CfgNode

from reid_dml.commands.analyse import analyse_tsne
from reid_dml.commands.analyse_networks import analyse_flatness, analyse_posterior, analyse_similarity
from reid_dml.commands.train import train_and_evaluate
from reid_dml.device import describe_device, resolve_device
from reid_dml.errors import BusyError, UserError
from reid_dml.files import check_folder, exclusive, write_bytes
from reid_dml.paper.artifacts import ARTIFACTS, Analysis, choose, experiments_of, run_of
from reid_dml.paper.experiments import EXPERIMENTS
from reid_dml.paper.pace import Pace
from reid_dml.paper.recipes import at_scale, recipe, run_folder
from reid_dml.paper.records import Place
from reid_dml.runs.folder import config_text
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
    def ready(self) -> bool:
        """Whether its teachers are there."""
        return all(Path(teacher).exists() for teacher in self.cfg.COHORT.TEACHERS)


def missing_jobs(
    chosen: Sequence[str], place: Place, scale: str, seeds: int, overrides: Sequence[str] = ()
) -> list[Job]:
    """Runs of tables, figures and experiments that have neither a record nor, where they are needed, their networks.

    In the order of the names; of each, all runs of a seed before those of the next; a teacher before its student.
    """
    records = place.records()
    jobs: dict[tuple[str, int], Job] = {}

    def add(name: str, seed: int, with_networks: bool) -> None:
        folder = run_folder(place.runs, name, scale, seed)
        if (name, seed) in jobs or (folder / "result.json").is_file() or not at_scale(EXPERIMENTS[name], scale):
            return
        cfg = recipe(EXPERIMENTS[name], scale, seed, place.runs, overrides)
        if cfg.SEED in records.get((name, scale), {}) and not with_networks:
            return
        if teacher := EXPERIMENTS[name].teacher:
            add(run_of(teacher, scale), seed, True)
        jobs[name, seed] = Job(name, seed, cfg)

    for name in chosen:
        artifact = ARTIFACTS.get(name)
        # The networks of one seed are enough to look into them.
        looks, made = isinstance(artifact, Analysis), place.drawn(name, scale) is not None
        for seed in range(1 if looks else seeds):
            for experiment in experiments_of(artifact, scale) if artifact else [run_of(name, scale)]:
                add(experiment, seed, looks and not made)
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
        minutes: start only what fits into them, and stop when they are over; 0: no limit.
        overrides: `KEY VALUE ...` for all runs.

    Returns:
        The exit code: 2 where a run failed, which the others survive.

    Raises:
        UserError: an unknown name, or options that do not fit.
    """
    check_folder(place.runs, f"--output {place.runs}")
    chosen = choose(names)
    pending, busy, failed = missing_jobs(chosen, place, scale, seeds, overrides), set[str](), dict[str, str]()
    with _time_limit(minutes) as left:
        while job := _next(pending, busy, place, scale, left()):
            pending.remove(job)
            print(f"\n=== {job.title} ({scale}); {len(pending)} more to run", flush=True)
            try:
                _run(job, place, scale)
                busy.clear()
            except BusyError:
                pending.append(job)
                busy.add(job.title)
                if len(busy) == len(pending):  # nothing to do but to wait for the others
                    time.sleep(_WAIT)
                    busy.clear()
            except UserError as error:
                failed[job.title] = str(error)
                print(f"error: {error}", file=sys.stderr, flush=True)
        for name in chosen:
            if isinstance(artifact := ARTIFACTS.get(name), Analysis) and left() > 0:
                try:
                    _analyse(name, artifact, place, scale, overrides)
                except UserError as error:
                    failed[name] = str(error)
    for job in pending:
        why = "does not fit into the time" if job.ready else "its teacher is missing"
        print(f"not run: {job.title}: {why}")
    for title, why in failed.items():
        print(f"error: {title}: {why}", file=sys.stderr)
    return 2 if failed else 0


def _next(pending: Sequence[Job], busy: set[str], place: Place, scale: str, left: float) -> Job | None:
    """The first run that can start and, as far as is known, ends within the seconds that are left."""
    candidates = [job for job in pending if job.ready and job.title not in busy]
    if left == float("inf") or not candidates:
        return next(iter(candidates), None)
    estimate = pace(place, scale, candidates[0].cfg)
    for job in candidates:
        seconds = estimate(job.cfg)
        if left > 0 and (seconds is None or seconds <= left):
            return job
    return None


def pace(place: Place, scale: str, cfg: CfgNode) -> Callable[[CfgNode], float | None]:
    """A function that says how many seconds the training of a config will take on this machine; None: unknown.

    From the records of runs at this scale on the device and threads of `cfg`.
    """
    use_threads(cfg.THREADS)
    found = (record for runs in place.records().values() for record in runs.values())
    own = Pace(found, describe_device(resolve_device(cfg.DEVICE)), scale)
    return lambda cfg: own.seconds(cfg.COHORT.NETWORKS, cfg.TRAIN.STEPS, tuple(cfg.INPUT.SIZE))


def _run(job: Job, place: Place, scale: str) -> None:
    """Train and evaluate it, and keep its record. Raises `BusyError` where another process does so."""
    folder = Path(job.cfg.OUTPUT_DIR)
    if not (folder / "result.json").is_file():  # another process may have ended it meanwhile
        try:
            train_and_evaluate(job.cfg, resume=(folder / "config.yml").is_file())
        finally:
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    if place.keep:
        write_bytes(place.keep / scale / f"{folder.name}.json", (folder / "result.json").read_bytes())


def _analyse(name: str, artifact: Analysis, place: Place, scale: str, overrides: Sequence[str]) -> None:
    """Draw a figure from the networks of its runs, unless it was drawn before or they are not there."""
    folder = place.figures(name, scale)[-1]
    runs = [run_folder(place.runs, experiment, scale, 0) for experiment in experiments_of(artifact, scale)]
    if place.drawn(name, scale):
        return
    if not all((run / "result.json").is_file() for run in runs):
        print(f"not drawn: {name}: the networks of its runs are not all there")
        return
    draft = folder.with_name(f".{name}.tmp")
    paths = [str(run) for run in runs]
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive(folder.parent / f".{name}.lock", f"{folder}: another process draws it"):
            print(f"\n=== {name}: {artifact.title}", flush=True)
            if artifact.command == "tsne":
                analyse_tsne(paths, [], draft, options=overrides)
            elif artifact.command == "flatness":
                analyse_flatness(paths, draft, options=overrides, relative=True)
            elif artifact.command == "posterior":
                analyse_posterior(paths, draft, options=overrides)
            else:
                analyse_similarity(paths, draft, options=overrides)
            draft.rename(folder)
    except BusyError:
        return
    if place.keep:
        for file in folder.iterdir():
            if file.suffix in (".svg", ".csv"):  # pages hold images of the data set
                write_bytes(place.keep / scale / "figures" / name / file.name, file.read_bytes())


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
        words: of the command line behind the interpreter, without `--jobs`.
        jobs: how many.

    Returns:
        The highest exit code.
    """
    gpus = torch.cuda.device_count()
    started = [
        subprocess.Popen(
            [sys.executable, *words],
            env={**os.environ, **({"CUDA_VISIBLE_DEVICES": str(number % gpus)} if gpus else {})},
        )
        for number in range(jobs)
    ]
    try:
        return max(process.wait() for process in started)
    except KeyboardInterrupt:  # they got the signal, too, or get it now
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait()
        raise


def print_config(name: str, place: Place, scale: str, seed: int) -> None:
    """Print the config of a run. Started from it by `tools/train_net.py`, it counts here, too."""
    if name not in EXPERIMENTS:
        choose([name])  # says which is near
        runs = ", ".join(experiments_of(ARTIFACTS[name], scale)) if name in ARTIFACTS else "those that `list` shows"
        raise UserError(f"{name}: is made of several runs; name one of {runs}")
    print(config_text(recipe(EXPERIMENTS[name], scale, seed, place.runs)), end="")
