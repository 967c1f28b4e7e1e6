"""From a score to the probability that two images show one person: a logistic fit to labelled pairs (Platt, 1999).

The fit models the log-likelihood ratio of the two hypotheses as a line in the score,

    log p(score | same person) / p(score | different persons) = slope * score + intercept,

by logistic regression in which the pairs of the same person and those of different persons weigh the same in total. The
probability then follows by Bayes' rule from a prior: the share of pairs of one person among those that are asked about.
It is not the share among the labelled pairs, which says how the data set was made; without knowledge it is a half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_BINS = 60  # of the counts that are kept
_ITERATIONS = 100


@dataclass(frozen=True)
class SamePerson:
    """The fitted line: log-likelihood ratio = slope * score + intercept."""

    slope: float
    intercept: float

    def probability(self, score: float, prior: float = 0.5) -> float:
        """The probability that a pair of this score shows one person.

        Args:
            score: cosine similarity or Euclidean distance, as in the calibration.
            prior: probability before the images are seen, in (0, 1).
        """
        logit = self.slope * score + self.intercept + math.log(prior / (1 - prior))
        return logistic(logit)


def logistic(logit: float) -> float:
    """1 / (1 + exp(-logit)), without overflow: 0 from -700 down."""
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0


@dataclass(frozen=True)
class ScoreCounts:
    """Pairs of the same and of different persons by score: `edges` has one entry more than the counts."""

    edges: tuple[float, ...]
    same: tuple[int, ...]
    different: tuple[int, ...]


def count_scores(scores: np.ndarray, same: np.ndarray, different: np.ndarray) -> ScoreCounts:
    """Coarse counts of fine ones.

    Args:
        scores: (B,) score of every fine bin.
        same, different: (B,) int64 pairs in it.
    """
    filled = (same + different) > 0
    low, high = scores[filled].min(), scores[filled].max()
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    both = [np.histogram(scores[filled], edges, weights=counts[filled])[0] for counts in (same, different)]
    columns = [tuple(int(count) for count in counts) for counts in both]
    return ScoreCounts(tuple(float(edge) for edge in edges), *columns)


def fit_probability(scores: np.ndarray, same: np.ndarray, different: np.ndarray) -> SamePerson:
    """Fit the line by Newton's method.

    As Platt proposes, the targets are (n + 1) / (n + 2) and 1 / (n + 2) rather than 1 and 0, n being the number of
    pairs of each kind: the fit exists even where a threshold separates all pairs.

    Args:
        scores: (B,) score of every bin.
        same, different: (B,) int64 pairs in it; neither is all zero.
    """
    filled = (same + different) > 0
    x, ones, zeros = scores[filled].astype(float), same[filled].astype(float), different[filled].astype(float)
    positives, negatives = ones.sum(), zeros.sum()
    ones, zeros = ones / positives, zeros / negatives
    weights = ones + zeros
    targets = ones * (positives + 1) / (positives + 2) + zeros / (negatives + 2)  # times their weights
    centre = float((weights * x).sum() / weights.sum())
    spread = math.sqrt(float((weights * (x - centre) ** 2).sum() / weights.sum())) or 1.0
    columns = np.stack([(x - centre) / spread, np.ones_like(x)])

    def loss(line: np.ndarray) -> float:
        logits = line @ columns
        return float((weights * np.logaddexp(0, logits) - targets * logits).sum())

    line = np.zeros(2)
    for _ in range(_ITERATIONS):
        fitted = 1 / (1 + np.exp(-np.clip(line @ columns, -700, 700)))
        gradient = columns @ (weights * fitted - targets)
        curvature = (columns * (weights * fitted * (1 - fitted))) @ columns.T + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        size, before = 1.0, loss(line)
        while size > 1e-6 and loss(line - size * step) > before:
            size /= 2
        line = line - size * step
        if np.abs(size * step).max() < 1e-10:
            break
    slope = float(line[0]) / spread
    return SamePerson(slope, float(line[1]) - slope * centre)
