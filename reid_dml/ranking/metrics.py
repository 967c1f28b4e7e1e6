"""Ranking metrics of person re-identification, exact and without sorting the gallery: pure functions of arrays.

For the i-th nearest true match (i = 1 ... m) let n_i be the number of negatives at the same distance or nearer. A
negative wins a tie, so the order of the gallery cannot matter. Then

    AP = mean of i / (i + n_i)                                          ("plain")
    trapezoid AP = mean of ((i-1) / (i-1 + n_i) + i / (i + n_i)) / 2    (official MATLAB; 0/0 = 1)
    INP = m / (m + n_m)                                                 (Ye et al., 2021)
    CMC(k) = 1 if 1 + n_1 <= k else 0

What is a true match, a negative, or left out (junk, the query's own person in its own camera), `ranking.protocol`
says. Queries without a true match are left out of the means and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet, check_feature_sets
from reid_dml.features.validation import as_numbers, check_not_empty, check_text, check_whole_number
from reid_dml.measured import measured
from reid_dml.ranking.counting import NegativesAhead, count_ahead
from reid_dml.ranking.index_search import search_ahead
from reid_dml.ranking.measures import Matches, all_measures
from reid_dml.ranking.own_images import own_images, warn_of_own_images
from reid_dml.ranking.relevance import Pairs, Relevance
from reid_dml.ranking.roc import PairScores
from reid_dml.ranking.scores import Scorer, mean_scores


@dataclass(frozen=True, eq=False)
class RankingMetrics:
    """Means over the queries that have a match (or, with unmatched="zero", over all), fractions in [0, 1]."""

    measures: Mapping[str, float]  # by name: mAP, mAP_trapezoid, mINP and whatever else is registered and did not fail
    cmc: np.ndarray  # (max_rank,) float64, CMC at ranks 1 ... max_rank
    num_queries: int  # with a match
    num_unmatched: int  # without
    tpr_at_fpr: dict[str, float] = field(default_factory=dict)  # true-positive rates of verification, if asked for
    unmatched: str = "skip"  # what queries without a match are: left out of the means (skip), or 0 (zero)

    @property
    def mAP(self) -> float:
        """The mean over queries of the mean precision at their matches."""
        return self.measures["mAP"]

    @property
    def mAP_trapezoid(self) -> float:
        """mAP of the official MATLAB evaluation."""
        return self.measures["mAP_trapezoid"]

    @property
    def mINP(self) -> float:
        """The mean over queries of the precision at the hardest match."""
        return self.measures["mINP"]

    def as_dict(self) -> dict[str, Any]:
        """The layout of metrics files."""
        found: dict[str, Any] = {
            **self.measures,
            "cmc": [float(value) for value in self.cmc],
            "num_queries": self.num_queries,
            "num_unmatched": self.num_unmatched,
        }
        if self.unmatched != "skip":
            found["unmatched"] = self.unmatched
        return found | ({"tpr_at_fpr": dict(self.tpr_at_fpr)} if self.tpr_at_fpr else {})


def evaluate_rankings(
    query: FeatureSet,
    gallery: FeatureSet,
    *,
    metric: str = "cosine",
    max_rank: int = 50,
    unmatched: str = "skip",
    fpr: Sequence[float] = (),
    backend: str = "counting",
    index: str = "Flat",
    parameters: str = "",
    device: str = "cpu",
    own: Pairs | None = None,
) -> RankingMetrics:
    """Metrics of ranking the gallery for every query by distance.

    Args:
        query, gallery: features of equal width; whose model they are is for the caller to know.
        metric: `cosine` or `euclidean`.
        max_rank: length of the CMC curve.
        unmatched: what queries without a match are: `skip` leaves them out of the means, `zero` counts them as 0 (the
            MATLAB evaluation). They are counted either way.
        fpr: false-positive rates at which to measure the true-positive rate of "same person?" decisions.
        backend: `counting` (blocked products, nothing sorted) or `faiss` (index search). Results are equal but for the
            rounding of products: under Euclidean distance with whole numbers they are the same.
        index: with `faiss`, the factory string of the index to rank by. An approximate one shows what the
            approximation costs: matches it does not return count as not found.
        parameters: with `faiss`, how carefully to search, such as `nprobe=32`; empty: the type's default.
        device: where `counting` computes, `cpu` or a CUDA device.
        own: query rows and gallery rows of images that are the query itself, left out for it. None: those that
            `own_images` finds, of one path with one feature, which a warning counts; two empty arrays: none. Of pooled
            or expanded queries, whose features are no image's, give those of the single queries.

    Raises:
        ValueError: unknown metric, backend, rule or device, fpr with `faiss`, or an argument of another type.
        FeatureError: different widths (it is a ValueError too), an empty side, features that are not finite. Under
            cosine, zero vectors count as similarity 0 to everything, with a warning.
        UserError: no query with a match, or a GPU that is not there.
    """
    if backend not in ("counting", "faiss"):
        raise ValueError(f"backend: {backend!r} is not one of counting, faiss")
    fpr = _rates(fpr)
    if fpr and backend == "faiss":
        raise ValueError("fpr needs the scores of all pairs: backend counting")
    _check_options(max_rank, unmatched)
    for name, value in (("index", index), ("parameters", parameters), ("device", device)):
        check_text(name, value)
    check_feature_sets(query=query, gallery=gallery)
    scorer, relevance = Scorer(query, gallery, metric), _relevance(query, gallery, own, metric)
    pairs = _pairs(fpr, relevance, scorer.comparable)
    if backend == "faiss":
        ahead = search_ahead(scorer, relevance, metric, factory=index, parameters=parameters)
    elif device == "cpu":
        ahead = count_ahead(scorer.scores, relevance, pairs)
    else:
        from reid_dml.ranking.device_counting import count_ahead_on  # loads torch

        ahead = count_ahead_on(device, scorer, relevance, pairs)
    return _summarise(ahead, max_rank, unmatched, pairs)


def evaluate_distances(
    distances: np.ndarray,
    query: FeatureSet,
    gallery: FeatureSet,
    *,
    max_rank: int = 50,
    unmatched: str = "skip",
    fpr: Sequence[float] = (),
    own: Pairs | None = None,
) -> RankingMetrics:
    """The same metrics from given distances, e.g. after re-ranking.

    Args:
        distances: (Q, G), smaller is nearer.
        query, gallery: whose ids are judged; their features only tell whether two images of one path are one.
        max_rank, unmatched, fpr, own: as for `evaluate_rankings`.

    Raises:
        ValueError: distances of another shape or type, an unknown rule, or an argument of another type.
        UserError: an empty side, distances that are not finite, or no query with a match.
    """
    _check_options(max_rank, unmatched)
    check_feature_sets(query=query, gallery=gallery)
    fpr, distances = _rates(fpr), as_numbers("distances", distances, "(Q, G)")
    if distances.shape != (len(query), len(gallery)):
        raise ValueError(f"distances are {distances.shape}, expected {(len(query), len(gallery))}")
    for name, side in (("query", query), ("gallery", gallery)):
        check_not_empty(name, len(side))
    relevance = _relevance(query, gallery, own, "euclidean")  # features as they are
    pairs = _pairs(fpr, relevance)
    dtype = distances.dtype.type if distances.dtype.kind == "f" else np.float64

    def scores(queries: np.ndarray, buffer: np.ndarray) -> np.ndarray:
        part = buffer[: len(queries)]
        np.multiply(distances[queries], dtype(-1), out=part)
        part[:, relevance.is_junk] = 0
        if not np.isfinite(part).all():
            rows = (row for row in range(len(distances)) if not np.isfinite(distances[row, ~relevance.is_junk]).all())
            raise UserError(f"distances are NaN or infinite, first in the row of query {next(rows)}")
        part[:, relevance.is_junk] = np.nan
        return part

    return _summarise(count_ahead(scores, relevance, pairs, dtype=dtype), max_rank, unmatched, pairs)


def evaluate_mean_distances(
    queries: Sequence[FeatureSet],
    galleries: Sequence[FeatureSet],
    *,
    metric: str = "cosine",
    max_rank: int = 50,
    unmatched: str = "skip",
    fpr: Sequence[float] = (),
    own: Pairs | None = None,
) -> RankingMetrics:
    """The same metrics of an ensemble that ranks by the mean of its members' distances.

    Args:
        queries, galleries: one for each member, of the same images; the widths may differ between members.
        metric, max_rank, unmatched, fpr, own: as for `evaluate_rankings`; so are the errors.
    """
    _check_options(max_rank, unmatched)
    fpr = _rates(fpr)
    _check_members(queries, galleries)
    scorers = [Scorer(*sides, metric) for sides in zip(queries, galleries, strict=True)]
    relevance = _relevance(queries[0], galleries[0], own, metric)
    pairs = _pairs(fpr, relevance)
    ahead = count_ahead(partial(mean_scores, scorers), relevance, pairs)
    return _summarise(ahead, max_rank, unmatched, pairs)


def average_precisions(query: FeatureSet, gallery: FeatureSet, *, metric: str = "cosine") -> np.ndarray:
    """(Q,) float64, the average precision of every query; NaN where it has no match.

    Args:
        query, gallery: features of equal width.
        metric: `cosine` or `euclidean`.
    """
    check_feature_sets(query=query, gallery=gallery)
    relevance = Relevance(query, gallery, own_images(query, gallery, metric=metric))
    ahead = count_ahead(Scorer(query, gallery, metric).scores, relevance)
    found = np.full(len(query), np.nan)
    matched = ahead.lengths > 0
    if matched.any():
        found[matched] = all_measures()["mAP"].of_queries(Matches(ahead.lengths[matched], ahead.counts))
    return found


def _check_options(max_rank: object, unmatched: object) -> None:
    check_whole_number("max_rank", max_rank)
    if unmatched not in ("skip", "zero"):
        raise ValueError(f"unmatched: {unmatched!r} is not one of skip, zero")


def _check_members(queries: Sequence[FeatureSet], galleries: Sequence[FeatureSet]) -> None:
    """Raise `ValueError` unless there are as many queries as galleries, each of the same images."""
    for name, members in (("queries", queries), ("galleries", galleries)):
        if not isinstance(members, (list, tuple)) or not members:
            raise ValueError(f"{name}: must be a list of feature sets, one for each member")
        check_feature_sets(**{f"{name}[{number}]": member for number, member in enumerate(members)})
        if len({len(member) for member in members}) > 1:
            raise ValueError(f"{name}: members must be of the same images, got {[len(member) for member in members]}")
    if len(queries) != len(galleries):
        raise ValueError(f"{len(queries)} queries and {len(galleries)} galleries; give one of each for every member")


def _rates(fpr: Sequence[float]) -> Sequence[float]:
    """False-positive rates that were given, as a list. Raises `ValueError` for anything else."""
    found = as_numbers("fpr", fpr, "(n,)").tolist()
    if not all(0 <= rate < 1 for rate in found):
        raise ValueError(f"fpr: false-positive rates must lie in [0, 1), got {found}")
    return found


def _own_pairs(own: Pairs, query: FeatureSet, gallery: FeatureSet) -> Pairs:
    """Pairs of rows that were given, as arrays. Raises `ValueError` for others than there are."""
    if not isinstance(own, (list, tuple)) or len(own) != 2:
        raise ValueError("own: must be two arrays, of query rows and of gallery rows")
    places, rows = (as_numbers("own", side, "(n,)", "iu").astype(np.int64) for side in own)
    if len(places) != len(rows):
        raise ValueError(f"own: {len(places)} query rows and {len(rows)} gallery rows; they are pairs")
    for side, count in ((places, len(query)), (rows, len(gallery))):
        if len(side) and not 0 <= side.min() <= side.max() < count:
            raise ValueError(f"own: rows from {side.min()} to {side.max()} of {count}")
    return places, rows


def _relevance(query: FeatureSet, gallery: FeatureSet, own: Pairs | None, metric: str) -> Relevance:
    """What every image is to every query; own images that nobody named are found, and said."""
    if own is None:
        own = own_images(query, gallery, metric=metric)
        warn_of_own_images(query, gallery, own, stacklevel=3)
    else:
        own = _own_pairs(own, query, gallery)
    return Relevance(query, gallery, own)


def _pairs(
    fpr: Sequence[float], relevance: Relevance, comparable: Callable[[int, np.ndarray], np.ndarray] | None = None
) -> PairScores | None:
    return PairScores(fpr, relevance.num_negatives(), comparable) if fpr else None


def _summarise(ahead: NegativesAhead, max_rank: int, unmatched: str, pairs: PairScores | None) -> RankingMetrics:
    """Means of the closed forms; a count of inf stands for a match that was not found, of precision 0."""
    matches = Matches(ahead.lengths[ahead.lengths > 0], ahead.counts)
    count = len(matches.lengths)
    if not count:
        raise UserError(
            "no query has a match in the gallery: no person id of the query set appears there under another "
            "camera; check the ids, or that the data has more than one camera"
        )
    nearest = matches.negatives[matches.firsts]  # n_1
    ranks = np.bincount(nearest[nearest < max_rank].astype(np.int64), minlength=max_rank)
    total = count if unmatched == "skip" else len(ahead.lengths)
    measures = {}
    for name, measure in all_measures().items():
        values = measured(f"ranking metric {name!r}", partial(measure.of_queries, matches), (count,))
        if values is not None:
            measures[name] = float(np.sum(values) / total)
    return RankingMetrics(
        measures=measures,
        cmc=np.cumsum(ranks) / total,
        num_queries=count,
        num_unmatched=len(ahead.lengths) - count,
        tpr_at_fpr=pairs.rates_found() if pairs else {},
        unmatched=unmatched,
    )
