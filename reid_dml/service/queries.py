"""What was searched for, kept in memory for a while so that a list can be filtered, paged and exported."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

_MOST, _SECONDS = 256, 3600.0


@dataclass(frozen=True, eq=False)
class Query:
    """A person that was searched for.

    Attributes:
        feature: (D,) float32.
        pictures, names: small JPEGs of the images, and what they are called.
        source: id of the image of the gallery that was searched from; empty: none.
    """

    feature: np.ndarray
    pictures: Sequence[bytes]
    names: Sequence[str]
    source: str = ""
    made: float = field(default_factory=time.monotonic)


class Queries:
    """The last queries, for an hour at most, by names that nobody can guess; nothing of them is written to a disk."""

    def __init__(self) -> None:
        self._lock, self._kept = threading.Lock(), OrderedDict[str, Query]()

    def keep(self, query: Query) -> str:
        """Keep a query; returns its name."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[name] = query
            while len(self._kept) > _MOST or self._is_old(next(iter(self._kept.values()))):
                self._kept.popitem(last=False)
        return name

    def get(self, name: str) -> Query | None:
        """The query of this name, if it is still kept."""
        with self._lock:
            query = self._kept.get(name)
        return None if query is None or self._is_old(query) else query

    def forget(self, sources: Collection[str]) -> None:
        """Forget the queries that were images of the gallery with these ids."""
        with self._lock:
            for name in [name for name, query in self._kept.items() if query.source in sources]:
                del self._kept[name]

    @staticmethod
    def _is_old(query: Query) -> bool:
        return time.monotonic() - query.made > _SECONDS
