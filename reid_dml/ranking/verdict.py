"""Do two features show one person? A score, and with a calibrated threshold a decision and a probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reid_dml.features.feature_set import normalize
from reid_dml.ranking.thresholds import Threshold


@dataclass(frozen=True)
class Verdict:
    """What two images have in common; what is not known is None."""

    metric: str
    score: float  # cosine similarity or Euclidean distance
    threshold: float | None
    same_person: bool | None
    probability: float | None
    prior: float


def judge(features: np.ndarray, metric: str, limit: Threshold | None, prior: float) -> Verdict:
    """Judge two features.

    Args:
        features: (2, D) float32.
        metric: `cosine` or `euclidean`.
        limit: the threshold, for scores of this metric and model; None: there is only a score.
        prior: probability of one person before the images are seen, see `ranking.probability`.
    """
    score = pair_score(features, metric)
    same, probability = decide(score, metric, limit, prior)
    return Verdict(metric, score, limit.value if limit else None, same, probability, prior)


def decide(score: float, metric: str, limit: Threshold | None, prior: float) -> tuple[bool | None, float | None]:
    """Whether a score is that of one person, and how probable that is; None for what is not known.

    Args:
        score: cosine similarity or Euclidean distance.
        metric, limit, prior: as for `judge`.
    """
    if limit is None:
        return None, None
    line = limit.same_person
    same = bool(limit.accepts(np.array(score, np.float32), metric))
    return same, line.probability(score, prior) if line else None


def pair_score(features: np.ndarray, metric: str) -> float:
    """Cosine similarity or Euclidean distance of two features, (2, D) float32."""
    if metric == "cosine":
        first, second = normalize(features)
        return float(first @ second)
    return float(np.linalg.norm(features[0] - features[1]))
