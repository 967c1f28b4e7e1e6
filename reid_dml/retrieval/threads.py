"""Sharing rows out to threads: NumPy lets other threads work while it computes."""

from __future__ import annotations

import faiss


def cpu_threads() -> int:
    """Threads to use: OMP_NUM_THREADS, or the cores this process may use."""
    return faiss.omp_get_max_threads()


def row_parts(count: int, parts: int | None = None) -> list[range]:
    """The rows 0 ... count - 1 in as many even parts as there are threads, none of them empty."""
    parts = min(parts or cpu_threads(), count)
    return [range(count * part // parts, count * (part + 1) // parts) for part in range(parts)]
