"""How many CPU threads this process uses: one number for torch, FAISS, NumPy's BLAS and the library's own pools.

Left to themselves they differ: torch asks MKL, FAISS an OpenMP runtime of its own or, if torch was imported first,
torch's. Left alone, a thread that waits for the others also keeps its core busy: with other work on the machine it
takes the time of the very thread it waits for. Commands let waiting threads sleep (`reid_dml/waiting.py`), and take
fewer threads where other processes keep the cores busy when they start.
"""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path

from threadpoolctl import threadpool_limits

_GIVEN = os.environ.get("OMP_NUM_THREADS", "")  # by the user or torchrun; `use_threads` changes the variable
_CGROUPS = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_LOOK_SECONDS = 0.2  # how long the cores are watched
_chosen = 0


def use_threads(threads: int = 0, *, before: int = 0) -> None:
    """Let everything in this process compute with this many threads; 0: OMP_NUM_THREADS, or the cores that are free.

    Args:
        threads: 1 or more, or 0 to choose.
        before: what the first part of the same work was computed with, to be chosen again; 0: there was none.

    To be called by the main thread before the work begins: OpenMP keeps the number for each thread apart. Libraries
    that are loaded later, and processes that are started later, find it in OMP_NUM_THREADS. On an idle machine the
    free cores are all usable ones (`free_cores`).
    """
    global _chosen
    _chosen = threads or _asked() or min(before, usable_cores()) or free_cores()
    os.environ["OMP_NUM_THREADS"] = str(_chosen)
    threadpool_limits(_chosen)  # every OpenMP and BLAS library that is loaded: FAISS's and NumPy's
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(_chosen)


def cpu_threads() -> int:
    """Threads to use: what `use_threads` chose, else OMP_NUM_THREADS as the process found it, else the cores."""
    return _chosen or _asked() or usable_cores()


def _asked() -> int:
    first = _GIVEN.split(",")[0].strip()  # OpenMP allows a number for each level of nesting
    return int(first) if first.isdecimal() else 0


def free_cores() -> int:
    """Of the usable cores those that other processes leave idle, and half of them at least; all if none is idle.

    Beside a core that is shared, one that is not waits at every step. Where all are shared, each thread gets its part.
    The cores are watched for a fifth of a second, and only where the load of the last minute says that there may be
    other work: what an idle machine does in that moment changes no number of threads, so results stay the same.
    """
    usable = usable_cores()
    try:
        if usable == 1 or os.getloadavg()[0] < usable / 2:
            return usable
        before = _core_times()
        time.sleep(_LOOK_SECONDS)
        idle = sum(_idle_share(before[core], now) for core, now in _core_times().items() if core in before)
    except OSError:  # not Linux
        return usable
    return min(usable, max(round(idle), math.ceil(usable / 2))) if round(idle) else usable


def _core_times() -> dict[int, tuple[int, int]]:
    """(idle, all) ticks of each core this process may use since the machine started."""
    own, found = os.sched_getaffinity(0), {}
    for line in (_PROC / "stat").read_text().splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in own:
            counts = [int(tick) for tick in ticks[:8]]  # user, nice, system, idle, waiting for a disk, ...
            found[int(name[3:])] = counts[3] + counts[4], sum(counts)
    return found


def _idle_share(before: tuple[int, int], now: tuple[int, int]) -> float:
    passed = now[1] - before[1]
    return (now[0] - before[0]) / passed if passed else 1.0


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
