"""Sharing rows out to threads: NumPy lets other threads work while it computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

from reid_dml.threads import cpu_threads


def row_parts(count: int) -> list[range]:
    """The rows 0 ... count - 1 in as many even parts as there are threads, none of them empty."""
    parts = min(cpu_threads(), count)
    return [range(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """While it lasts, matrix products use the calling thread only: for work that has a thread for each core already.

    The setting is the process's: several threads may be inside at once, and the last to leave restores it.
    """
    global _inside, _limit
    with _lock:
        if not _inside:
            _limit = _controller().limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _limit.restore_original_limits()


_lock, _inside = Lock(), 0
_limit: Any = None


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all loaded libraries
