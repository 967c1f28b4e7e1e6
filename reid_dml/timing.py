"""What the stages of a command took: seconds of each, and the process's peak memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_seconds: dict[str, float] = {}


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Add the time of a block to the stage of that name."""
    started = time.perf_counter()
    try:
        yield
    finally:
        _seconds[name] = _seconds.get(name, 0.0) + time.perf_counter() - started


def stages_line() -> str:
    """Every stage since the last line with its seconds, and the peak memory, in one line."""
    parts = [f"{name} {seconds:.1f} s" for name, seconds in _seconds.items()]
    _seconds.clear()
    return ", ".join([*parts, f"peak memory {peak_memory_gb():.2f} GB"])


def peak_memory_gb() -> float:
    """The largest resident size of this process so far, in 10^9 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def duration(seconds: float) -> str:
    """Seconds in words: `2 h 05 min`, `5 min`, `12 s`."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if seconds >= 90 else f"{seconds:.0f} s"
