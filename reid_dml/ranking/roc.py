"""True-positive rates of verification at fixed false-positive rates, from the pairs of a ranking, exact and streamed.

Every (query, gallery image) pair that counts in the rankings is a decision "the same person?": positive for a true
match, negative for any other image. At a false-positive rate f the threshold is the lowest score that lets through at
most a share f of the N negatives, that is, a pair is accepted if it scores higher than the (floor(f N) + 1)-th highest
negative; equal scores are refused. Queries without a match are left out, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def accepted_pairs(rate: float, negatives: int) -> int:
    """The most pairs that may be accepted of `negatives` pairs of different persons at a false-positive rate."""
    return int(rate * negatives * (1 + 1e-12))  # 0.29 * 100 is a little less than 29


class LargestValues:
    """The largest `count` of all values added, without keeping the others."""

    def __init__(self, count: int, bound: float = -np.inf) -> None:
        self.count, self.bound = count, bound  # values at or below the bound cannot change the result
        self._kept: list[np.ndarray] = []
        self._size = 0

    def add(self, values: np.ndarray) -> None:
        """Take further values into account."""
        values = values[values > self.bound]
        self._kept.append(values)
        self._size += len(values)
        if self._size >= 2 * self.count + 4096:
            self.values()

    def values(self) -> np.ndarray:
        """The largest `count` values, or all if there were fewer, in no particular order."""
        whole = np.concatenate(self._kept) if self._kept else np.empty(0, np.float32)
        if len(whole) > self.count:
            whole = np.partition(whole, len(whole) - self.count)[len(whole) - self.count :]
            self.bound = whole[0]
        self._kept, self._size = [whole], len(whole)
        return whole


class PairScores:
    """Collects what the rates need: all positives, and only the highest negatives.

    Args:
        rates: false-positive rates in [0, 1).
        negatives: N, number of negative pairs.
        comparable: from a query and its scores, scores that compare with those of other queries; None: as they are.
    """

    def __init__(
        self,
        rates: Sequence[float],
        negatives: int,
        comparable: Callable[[int, np.ndarray], np.ndarray] | None = None,
    ) -> None:
        if not all(0 <= rate < 1 for rate in rates):
            raise ValueError(f"fpr: false-positive rates must lie in [0, 1), got {list(rates)}")
        self.rates, self.comparable, self._negatives_count = list(rates), comparable, negatives
        self._highest = LargestValues(accepted_pairs(max(rates), negatives) + 1)
        self._positives: list[np.ndarray] = []

    def part(self) -> PairScores:
        """A collector for some of the queries, to be merged later."""
        own = PairScores(self.rates, self._negatives_count, self.comparable)
        own._highest.bound = self._highest.bound
        return own

    def add(self, query: int, matches: np.ndarray, others: np.ndarray) -> None:
        """Take one query's scores.

        Args:
            query: its row.
            matches: scores of its true matches.
            others: scores of its negatives; NaN stands for images that are left out.
        """
        if self.comparable is not None:
            matches, others = self.comparable(query, matches), self.comparable(query, others)
        self._positives.append(matches)
        self._highest.add(others)

    def merge(self, other: PairScores) -> None:
        """Take everything that another collector holds."""
        self._positives += other._positives
        self._highest.add(other._highest.values())

    def rates_found(self) -> dict[str, float]:
        """True-positive rate by false-positive rate, as metrics files name it."""
        positives = np.sort(np.concatenate(self._positives))
        negatives = np.sort(self._highest.values())
        found = {}
        for rate in self.rates:
            accepted = accepted_pairs(rate, self._negatives_count)
            threshold = negatives[len(negatives) - 1 - accepted] if accepted < len(negatives) else -np.inf
            above = len(positives) - np.searchsorted(positives, threshold, side="right")
            found[f"{rate:.15g}"] = float(above / len(positives))
        return found
