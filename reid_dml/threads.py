"""How many CPU threads this process uses: one number for torch, FAISS, NumPy's BLAS and the library's own pools.

Left to themselves they differ: torch asks MKL, FAISS an OpenMP runtime of its own or, if torch was imported first,
torch's. Threads of one computation wait for the slowest of them: beside other work on the same cores, as many threads
as there are cores are slower than as many as there are free cores (`benchmarks/threads.py`). How threads wait for each
other is another matter: `reid_dml/waiting.py`.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

from threadpoolctl import ThreadpoolController, threadpool_limits

from reid_dml.text import small_number

logger = logging.getLogger(__name__)

_GIVEN = os.environ.get("OMP_NUM_THREADS", "")  # by the user or torchrun; `use_threads` changes the variable
_CGROUPS = Path("/sys/fs/cgroup")
_PROCESSOR_TIMES = Path("/proc/stat")
MOST_BATCHES_AT_ONCE = 8  # that go through a network at a time on a CPU: Python itself would be what more wait for
_SOFT_PAUSE = 1  # omp_pause_soft of OpenMP 5
_chosen = 0


def use_threads(threads: int = 0) -> None:
    """Let everything in this process compute with this many threads; 0: OMP_NUM_THREADS, or the free cores.

    To be called by the main thread before the work begins: OpenMP keeps the number for each thread apart. Libraries
    that are loaded later, and processes that are started later, find it in OMP_NUM_THREADS.
    """
    global _chosen
    _chosen = threads
    if not threads and not _given():
        _chosen = _free_of(usable_cores())
    number = cpu_threads()
    os.environ["OMP_NUM_THREADS"] = str(number)
    threadpool_limits(number)  # every OpenMP and BLAS library that is loaded: FAISS's and NumPy's
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(number)


def cpu_threads() -> int:
    """Threads to use: what `use_threads` was given, else OMP_NUM_THREADS as the process found it, else the cores."""
    return _chosen or _given() or usable_cores()


def end_threads() -> None:
    """End the OpenMP threads that compute for the calling thread; its next computation starts them anew.

    Every thread that has computed keeps some. As soon as all of them together are more than the cores, GNU's OpenMP
    lets them sleep whenever one operation is over: a small network then takes twice its time. So a thread that has
    nothing more to compute for a while sends its own away.
    """
    for library in _gnu_openmp(tuple(name in sys.modules for name in ("torch", "faiss"))):
        library.omp_pause_resource_all(_SOFT_PAUSE)


@cache
def _gnu_openmp(_: tuple[bool, ...]) -> list[Any]:
    """The copies of GNU's OpenMP among the loaded libraries; torch and FAISS bring their own."""
    found = [each for each in ThreadpoolController().lib_controllers if each.user_api == "openmp"]
    return [
        each.dynlib for each in found if each.prefix == "libgomp" and hasattr(each.dynlib, "omp_pause_resource_all")
    ]


def _given() -> int:
    """OMP_NUM_THREADS as the process found it; 0: it says nothing."""
    first = _GIVEN.split(",")[0].strip()  # OpenMP allows a number for each level of nesting
    return small_number(first) or 0


@cache
def _free_of(cores: int) -> int:
    """As many of the usable cores as others leave free when first asked, at least one; says so where they are fewer."""
    if cores == 1:
        return 1
    allowed, busy = _busy_cores()
    free = min(cores, max(1, round(allowed - busy)))
    if free < cores:
        logger.warning(
            f"other processes keep {busy:.1f} of {allowed} cores busy: computing with {free} "
            f"thread{'s' if free > 1 else ''} (THREADS {cores} or OMP_NUM_THREADS={cores} takes all)"
        )
    return free


def _busy_cores(seconds: float = 0.2) -> tuple[int, float]:
    """Cores that this process may run on, and how many of them others have kept busy for some time (Linux).

    Args:
        seconds: how long to look; the kernel counts in hundredths.
    """
    before = _times()
    time.sleep(seconds)
    after = _times()
    busy = 0.0
    for core, (taken, passed) in after.items():
        earlier_taken, earlier_passed = before.get(core, (taken, passed))
        if passed > earlier_passed:
            busy += (taken - earlier_taken) / (passed - earlier_passed)
    return len(after) or usable_cores(), busy


def _times() -> dict[int, tuple[int, int]]:
    """For each core that this process may run on, its time taken by others and its whole time, in the kernel's ticks.

    Waiting for a disk leaves a core free. A process that is `nice` does not: where each session of the system has its
    share (Linux's autogroups), it gives way to those of its own session only.
    """
    if not hasattr(os, "sched_getaffinity"):
        return {}
    allowed, found = os.sched_getaffinity(0), {}
    try:
        lines = _PROCESSOR_TIMES.read_text().splitlines()
    except OSError:
        return {}
    for line in lines:
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in allowed:
            ticks = [int(field) for field in fields[:8]]  # those of guests are in `user` already
            idle, waiting = ticks[3:5]
            found[int(name[3:])] = (sum(ticks) - idle - waiting, sum(ticks))
    return found


def threads_of_one_batch() -> int:
    """Threads for one of several batches that go through a network at a time on a CPU."""
    return max(1, cpu_threads() // MOST_BATCHES_AT_ONCE)


def usable_cores() -> int:
    """Cores that this process may use by its CPU affinity and the CPU quota of its control group (Linux)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return cores if quota is None else max(1, min(cores, round(quota)))


def _quota() -> float | None:
    """Cores' worth of time a second that the control groups (version 2) above this process allow; None: no limit."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    folder = _CGROUPS / own.lstrip("/")
    quotas = []
    for level in (folder, *folder.parents):
        if not level.is_relative_to(_CGROUPS):
            break
        try:
            quota, period = (level / "cpu.max").read_text().split()
            quotas.append(int(quota) / int(period))
        except (OSError, ValueError):  # no such file at the root; "max"
            continue
    return min(quotas, default=None)
