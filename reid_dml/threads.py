"""How many CPU threads this process uses: one number for torch, FAISS, NumPy's BLAS and the library's own pools.

Left to themselves they differ: torch asks MKL, FAISS an OpenMP runtime of its own or, if torch was imported first,
torch's. How threads wait for each other is another matter: `reid_dml/waiting.py`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from threadpoolctl import threadpool_limits

_GIVEN = os.environ.get("OMP_NUM_THREADS", "")  # by the user or torchrun; `use_threads` changes the variable
_CGROUPS = Path("/sys/fs/cgroup")
MOST_BATCHES_AT_ONCE = 8  # that go through a network at a time on a CPU: Python itself would be what more wait for
_chosen = 0


def use_threads(threads: int = 0) -> None:
    """Let everything in this process compute with this many threads; 0: OMP_NUM_THREADS, or the usable cores.

    To be called by the main thread before the work begins: OpenMP keeps the number for each thread apart. Libraries
    that are loaded later, and processes that are started later, find it in OMP_NUM_THREADS.
    """
    global _chosen
    _chosen = threads
    number = cpu_threads()
    os.environ["OMP_NUM_THREADS"] = str(number)
    threadpool_limits(number)  # every OpenMP and BLAS library that is loaded: FAISS's and NumPy's
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(number)


def cpu_threads() -> int:
    """Threads to use: what `use_threads` was given, else OMP_NUM_THREADS as the process found it, else the cores."""
    first = _GIVEN.split(",")[0].strip()  # OpenMP allows a number for each level of nesting
    return _chosen or (int(first) if first.isdecimal() else 0) or usable_cores()


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
