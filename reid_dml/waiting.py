"""How the threads of a parallel computation wait for each other: asleep, so that other processes can use the core.

By default OpenMP's threads wait by looking again and again, for a millisecond or more (GNU: 300,000 times). That saves
a little time where every thread has a core of its own, and costs many times that where another process wants the core:
the waiting thread uses up the time of the one that it waits for (`benchmarks/threads.py`).
"""

from __future__ import annotations

import os

# What a user may have said about waiting already: OpenMP's own word, GNU's, Intel's.
_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def wait_asleep() -> None:
    """Let OpenMP's threads sleep while they wait, unless the environment says otherwise.

    The libraries read it when they are loaded: to be called before torch, FAISS or scikit-learn are imported.
    """
    if not any(name in os.environ for name in _VARIABLES):
        os.environ["OMP_WAIT_POLICY"] = "passive"
