"""Ranking metrics, one file each: closed forms of the negatives ahead of each true match.

To add one: a file here with a function like those beside it, decorated with `register_measure` (docs/extending.md). It
is computed for every protocol, and stands in metrics files and tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reid_dml.registry import Registry


@dataclass(frozen=True, eq=False)
class Matches:
    """The true matches of all queries that have one, one query after the other, each from near to far.

    Attributes:
        lengths: (Q,) int64, m: the number of each query's matches.
        negatives: (sum of m,), n_i: how many negatives are at the same distance or nearer; inf for a match that an
            approximate search did not find.
    """

    lengths: np.ndarray
    negatives: np.ndarray

    @cached_property
    def firsts(self) -> np.ndarray:
        """(Q,) position of each query's nearest match."""
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def ranks(self) -> np.ndarray:
        """(sum of m,), i: the rank of each match among its query's, from 1."""
        return np.arange(1, len(self.negatives) + 1) - np.repeat(self.firsts, self.lengths)

    @cached_property
    def precisions(self) -> np.ndarray:
        """(sum of m,), i / (i + n_i): the precision at each match."""
        return self.ranks / (self.ranks + self.negatives)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Each query's mean over its matches: (Q,) from (sum of m,)."""
        return np.add.reduceat(values, self.firsts) / self.lengths


@dataclass(frozen=True)
class Measure:
    """A metric: each query's value, (Q,) in [0, 1], of which the mean is reported."""

    of_queries: Callable[[Matches], np.ndarray]
    title: str  # of its column in tables
    order: int


RESERVED = ("cmc", "num_queries", "num_unmatched", "tpr_at_fpr", "unmatched")  # other keys of metrics files
MEASURES: Registry[Measure] = Registry("ranking metric", __name__)


def register_measure(
    name: str, *, title: str = "", order: int = 10
) -> Callable[[Callable[[Matches], np.ndarray]], Callable[[Matches], np.ndarray]]:
    """Make a function from matches to each query's value known as a metric.

    Where it raises an error, or gives values of another shape or not finite, the metric is left out with a warning.

    Args:
        name: its key in metrics files.
        title: of its column in tables; empty: the name.
        order: of the columns; equal ones by name.

    Raises:
        ValueError: a name that is taken.
    """

    if name in RESERVED:
        raise ValueError(f"ranking metric: {name!r} is another key of metrics files; give the metric another name")

    def register(of_queries: Callable[[Matches], np.ndarray]) -> Callable[[Matches], np.ndarray]:
        MEASURES.register(name)(Measure(of_queries, title or name, order))
        return of_queries

    return register


def all_measures() -> dict[str, Measure]:
    """Every metric by name, in the order of their columns."""
    return dict(sorted(MEASURES.entries().items(), key=lambda entry: (entry[1].order, entry[0])))
