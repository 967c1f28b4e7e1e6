"""Which missing run comes when: what fits into the time, what other processes leave, and several side by side."""

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

import torch

from reid_dml.commands.reproduce_jobs import Job, training_seconds
from reid_dml.errors import BusyError, user_message
from reid_dml.paper.records import Place
from reid_dml.timing import duration

_WAIT = 5.0  # seconds between two looks at runs that other processes work on


@dataclass
class Work:
    """How far the command is; kept where the time ends it in the middle."""

    pending: list[Job]
    busy: set[str] = field(default_factory=set)  # titles of those that other processes work on
    failed: dict[str, str] = field(default_factory=dict)  # why, by title; figures and copies, too

    @contextmanager
    def surviving(self, title: str) -> Iterator[None]:
        """What fails inside is said, now and at the end, and the rest goes on. A defect of the code ends everything."""
        try:
            yield
        except Exception as error:
            message = user_message(error)
            if not message:
                raise
            print(f"error: {message}", file=sys.stderr, flush=True)
            self.failed[title] = message


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


def run_jobs(work: Work, run: Callable[[Job], None], place: Place, scale: str, left: Callable[[], float]) -> None:
    """Run what can start and fits into the seconds that are left, and wait for what other processes work on.

    Args:
        work: what is to be run; changed as it goes on.
        run: runs one, or raises `BusyError` where another process does.
        place: where records are that tell how long runs take.
        scale: of the runs.
        left: says how many seconds are left.
    """
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
        with work.surviving(job.title):
            try:
                run(job)
            except BusyError:
                work.pending.append(job)
                work.busy.add(job.title)
        _free_memory()


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def time_limit(minutes: float) -> Iterator[Callable[[], float]]:
    """A function that says how many seconds are left; when none are, the run under way saves where it is and stops.

    Args:
        minutes: until then; 0: no limit.
    """
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
