"""Ranking metrics of person re-identification, exact and without sorting the gallery: pure functions of arrays.

For the i-th nearest true match (i = 1 ... m) let n_i be the number of valid wrong items at the same distance or
nearer. A wrong item wins a tie, so the order of the gallery cannot matter. Then

    AP = mean of i / (i + n_i)                                          ("plain")
    trapezoid AP = mean of ((i-1) / (i-1 + n_i) + i / (i + n_i)) / 2    (official MATLAB; 0/0 = 1)
    INP = m / (m + n_m)                                                 (Ye et al., 2021)
    CMC(k) = 1 if 1 + n_1 <= k else 0

Gallery items of id -1 (junk) and those of the query's own person and camera are left out; id 0 (distractor) is a
wrong item. Queries without a true match are left out of the means and counted.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from reid_dml.data.records import JUNK, UNKNOWN_CAMERA
from reid_dml.errors import UserError
from reid_dml.retrieval.features import FeatureSet, normalize

_BLOCK = 128  # queries whose distances are held at a time
_COLUMNS = 64  # the gallery is padded to a multiple of these


@dataclass(frozen=True, eq=False)
class RankingMetrics:
    """Means over the queries that have a match, fractions in [0, 1]."""

    mAP: float
    mAP_trapezoid: float
    mINP: float
    cmc: np.ndarray  # (max_rank,) float64, CMC at ranks 1 ... max_rank
    num_queries: int  # with a match
    num_unmatched: int  # without

    def as_dict(self) -> dict[str, Any]:
        """The layout of metrics files."""
        return {
            "mAP": self.mAP,
            "mAP_trapezoid": self.mAP_trapezoid,
            "mINP": self.mINP,
            "cmc": [float(value) for value in self.cmc],
            "num_queries": self.num_queries,
            "num_unmatched": self.num_unmatched,
        }


def evaluate_rankings(
    query: FeatureSet, gallery: FeatureSet, *, metric: str = "cosine", max_rank: int = 50
) -> RankingMetrics:
    """Metrics of ranking the gallery for every query by distance.

    Args:
        query, gallery: features of equal width.
        metric: `cosine` or `euclidean`.
        max_rank: length of the CMC curve.

    Raises:
        ValueError: unknown metric or different widths.
        UserError: an empty side, features that are not finite, or no query with a match.
    """
    if metric not in ("cosine", "euclidean"):
        raise ValueError(f"metric: {metric!r} is not one of cosine, euclidean")
    if query.features.shape[1] != gallery.features.shape[1]:
        raise ValueError(
            f"query features are {query.features.shape[1]}-d, gallery features {gallery.features.shape[1]}-d"
        )
    for name, side in (("query", query), ("gallery", gallery)):
        if not np.isfinite(side.features).all():
            raise UserError(f"{name} features are NaN or infinite in {(~np.isfinite(side.features).all(1)).sum()} rows")
        zeros = int((~side.features.any(1)).sum())
        if zeros and metric == "cosine":
            warnings.warn(
                f"{zeros} of {len(side)} {name} features are all 0: cosine similarity says nothing of them",
                stacklevel=2,
            )
    return _evaluate(_distance_blocks(query.features, gallery.features, metric), query, gallery, max_rank)


def evaluate_distances(
    distances: np.ndarray, query: FeatureSet, gallery: FeatureSet, *, max_rank: int = 50
) -> RankingMetrics:
    """The same metrics from given distances (Q, G), smaller is nearer, e.g. after re-ranking."""
    if distances.shape != (len(query), len(gallery)):
        raise ValueError(f"distances are {distances.shape}, expected {(len(query), len(gallery))}")
    if not np.isfinite(distances).all():
        raise UserError("distances are NaN or infinite")
    return _evaluate(iter([(0, distances)]), query, gallery, max_rank)


def _distance_blocks(query: np.ndarray, gallery: np.ndarray, metric: str) -> Iterator[tuple[int, np.ndarray]]:
    """(first query, distances (B, G)) block by block; monotone in the true distance, which is all a ranking needs."""
    if metric == "cosine":
        query, gallery = normalize(query), normalize(gallery)
    else:
        # Squares of very large or small entries would leave float32; a power of two keeps exact what is exact.
        largest = max(float(np.abs(side).max(initial=0)) for side in (query, gallery))
        shrink = (
            np.float32(2.0 ** -math.ceil(math.log2(largest))) if largest > 0 and not 2**-40 < largest < 2**40 else 1
        )
        query, gallery = query * shrink, gallery * shrink
    # |g|^2 / 2 - q.g orders the gallery like |q - g|^2; for unit vectors the first term would only add rounding.
    half_squares = (gallery**2).sum(1) / 2 if metric == "euclidean" else None
    # Equal items must come out exactly equal wherever they stand, or rounding would break the tie. Matrix products
    # treat single rows and the last columns otherwise than the rest: zeros keep every real one away from the edges.
    transposed = np.zeros((gallery.shape[1], -(-len(gallery) // _COLUMNS) * _COLUMNS), np.float32)
    transposed[:, : len(gallery)] = gallery.T
    block = np.zeros((_BLOCK, query.shape[1]), np.float32)
    for start in range(0, len(query), _BLOCK):
        rows = min(_BLOCK, len(query) - start)
        block[:rows] = query[start : start + rows]
        distances = -(block @ transposed)[:rows, : len(gallery)]
        if half_squares is not None:
            distances += half_squares
        yield start, distances


def _evaluate(
    blocks: Iterator[tuple[int, np.ndarray]], query: FeatureSet, gallery: FeatureSet, max_rank: int
) -> RankingMetrics:
    for name, side in (("query", query), ("gallery", gallery)):
        if not len(side):
            raise UserError(f"the {name} set is empty; there is nothing to evaluate")
    not_junk = gallery.person_ids != JUNK
    precisions, trapezoids, penalties = [], [], []
    ranks = np.zeros(max_rank, np.int64)
    for start, distances in blocks:
        for row, distance in enumerate(distances, start):
            person, camera = query.person_ids[row], query.camera_ids[row]
            same = gallery.person_ids == person
            own_camera = (gallery.camera_ids == camera) & (camera != UNKNOWN_CAMERA)
            matches = np.sort(distance[same & not_junk & ~own_camera]) if person > 0 else distance[:0]
            if not len(matches):
                continue
            wrong = wrong_ahead(matches, distance[not_junk & ~same])
            i = np.arange(1, len(matches) + 1)
            plain = i / (i + wrong)
            before = np.divide(i - 1, i - 1 + wrong, out=np.ones(len(i)), where=i - 1 + wrong > 0)
            precisions.append(plain.mean())
            trapezoids.append(((before + plain) / 2).mean())
            penalties.append(plain[-1])
            if wrong[0] < max_rank:
                ranks[wrong[0]] += 1
    if not precisions:
        raise UserError(
            "no query has a match in the gallery: no person id of the query set appears there under another "
            "camera; check the ids, or that the data has more than one camera"
        )
    return RankingMetrics(
        mAP=float(np.mean(precisions)),
        mAP_trapezoid=float(np.mean(trapezoids)),
        mINP=float(np.mean(penalties)),
        cmc=np.cumsum(ranks) / len(precisions),
        num_queries=len(precisions),
        num_unmatched=len(query) - len(precisions),
    )


def wrong_ahead(matches: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """n_i: how many wrong items are at the distance of the i-th match or nearer, (m,) int64.

    Args:
        matches: (m,) distances of the true matches, rising.
        wrong: distances of the wrong items, in any order.
    """
    nearer = wrong[wrong <= matches[-1]]  # the rest cannot be ahead of anything
    first = np.searchsorted(matches, nearer, side="left")  # first match that this wrong item is ahead of
    return np.cumsum(np.bincount(first, minlength=len(matches)))
