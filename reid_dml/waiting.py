"""How the threads of a parallel computation wait for each other: a moment awake, then asleep.

By default OpenMP's threads wait by looking again and again, for a millisecond or more (GNU: 300,000 times). Where
another process wants the core, the waiting thread then uses up the time of the one that it waits for. Where every
thread has a core of its own, waking from sleep can cost more than most waits last. Some 20,000 looks are few enough
for the former and enough for the latter (`benchmarks/threads.py`).
"""

from __future__ import annotations

import os

# What a user may have said about waiting already: OpenMP's own word, GNU's, Intel's.
_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_SPINS = "20000"


def wait_briefly() -> None:
    """Let OpenMP's threads sleep after a short wait, unless the environment says otherwise.

    The libraries read it when they are loaded: to be called before torch, FAISS or scikit-learn are imported. GNU's
    library, which torch has on Linux, counts the looks; others know the policy only.
    """
    if not any(name in os.environ for name in _VARIABLES):
        os.environ["GOMP_SPINCOUNT"] = _SPINS
        os.environ["OMP_WAIT_POLICY"] = "passive"
