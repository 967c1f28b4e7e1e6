"""Sharing rows out to threads: NumPy lets other threads work while it computes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

import faiss
from threadpoolctl import ThreadpoolController


def cpu_threads() -> int:
    """Threads to use: OMP_NUM_THREADS, or the cores this process may use."""
    return faiss.omp_get_max_threads()


def row_parts(count: int, parts: int | None = None) -> list[range]:
    """The rows 0 ... count - 1 in as many even parts as there are threads, none of them empty."""
    parts = min(parts or cpu_threads(), count)
    return [range(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def single_threaded_blas() -> AbstractContextManager:
    """While it lasts, matrix products use the calling thread only: for work that has a thread for each core already."""
    return _controller().limit(limits=1, user_api="blas")


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all loaded libraries
