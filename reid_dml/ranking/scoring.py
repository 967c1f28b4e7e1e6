"""All protocols of a set of features, in the layout of metrics files, whoever made the features."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from reid_dml.errors import UserError
from reid_dml.features.ensemble import concatenate_features
from reid_dml.features.feature_set import FeatureSet, is_row_name, normalize
from reid_dml.features.formats import read_features
from reid_dml.features.validation import (
    METRICS,
    check_features,
    check_models,
    check_not_empty,
    check_widths,
    warned_before,
)
from reid_dml.ranking.label_checks import check_scored, warn_of_copies
from reid_dml.ranking.metrics import evaluate_distances, evaluate_mean_distances, evaluate_rankings
from reid_dml.ranking.multi_query import pool_multi_query
from reid_dml.ranking.own_images import own_images
from reid_dml.ranking.protocol import is_junk
from reid_dml.ranking.query_expansion import expand_queries
from reid_dml.ranking.relevance import Pairs
from reid_dml.ranking.rerank import k_reciprocal_distances
from reid_dml.timing import stage

_SAME = "an ensemble needs features of the same images in the same order"


@dataclass(frozen=True)
class ScoringOptions:
    """What is scored beside single queries, and how.

    Attributes:
        metric: `cosine` or `euclidean`.
        pooling: how multi-query pools a query's boxes: `mean` or `max`.
        unmatched: queries without a match: `skip` leaves them out of the means, `zero` counts them as 0.
        fpr: false-positive rates in [0, 1) at which to measure true-positive rates of verification.
        rerank: k1, k2 and lambda of k-reciprocal re-ranking; None: not run.
        expand, alpha: gallery images that query expansion takes up, and the exponent of their weights; 0: not run.
        backend: `counting` or `faiss`, see `evaluate_rankings`.
        index, parameters: with `faiss`, the index to rank by and how carefully it searches.
        device: with `counting`, `cpu` or a CUDA device.

    Raises:
        UserError: on construction, for options out of range or that do not go together.
    """

    metric: str = "cosine"
    pooling: str = "mean"
    unmatched: str = "skip"
    fpr: Sequence[float] = ()
    rerank: tuple[int, int, float] | None = None
    expand: int = 0
    alpha: float = 0.0
    backend: str = "counting"
    index: str = "Flat"
    parameters: str = ""
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, choices in (
            ("metric", METRICS),
            ("pooling", ("mean", "max")),
            ("unmatched", ("skip", "zero")),
            ("backend", ("counting", "faiss")),
        ):
            if getattr(self, name) not in choices:
                raise UserError(f"{name}: {getattr(self, name)!r} is not one of {', '.join(choices)}")
        if self.rerank:
            k1, k2, lambda_value = self.rerank
            whole = all(isinstance(number, (int, np.integer)) and number >= 1 for number in (k1, k2))
            if not whole or not 0 <= lambda_value <= 1:
                raise UserError(
                    f"re-ranking needs whole k1 and k2 of at least 1 and lambda in [0, 1], got {k1}, {k2} and "
                    f"{lambda_value}"
                )
        if self.expand and self.metric != "cosine":
            raise UserError("query expansion adds up features by cosine similarity; leave it out, or the other metric")
        if self.expand < 0 or not 0 <= self.alpha < math.inf:
            raise UserError(
                f"query expansion needs a number of images and an exponent of at least 0, got {self.expand} and "
                f"{self.alpha}"
            )
        if not all(0 <= rate < 1 for rate in self.fpr):
            raise UserError(f"false-positive rates must lie in [0, 1), got {list(self.fpr)}")
        if self.fpr and self.backend == "faiss":
            raise UserError(
                "true-positive rates need the scores of all pairs, which an index does not give; leave out one"
            )


def score(sets: Mapping[str, FeatureSet], options: ScoringOptions | None = None) -> dict[str, Any]:
    """Single-query metrics of `query` against `gallery`, and of every other protocol that is asked for.

    With `boxes` there are multi-query metrics. Returns the layout of metrics files; a protocol that was not run is
    absent. Re-ranking and query expansion are of single queries. Raises `FeatureError` for features that cannot be
    compared; doubtful ones are warned of once.
    """
    return score_members({name: [features] for name, features in sets.items()}, options or ScoringOptions())


def score_members(
    members: Mapping[str, Sequence[FeatureSet]],
    options: ScoringOptions,
    *,
    names: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """`score` by the mean of several members' distances.

    Args:
        members: each split's features, member by member.
        options: what is scored.
        names: what messages call them, such as their files; None: by split.

    Raises:
        FeatureError: features that cannot be compared.
        UserError: re-ranking, query expansion or an index for more than one member: these need one feature.
    """
    if len(members["query"]) > 1 and (options.rerank or options.expand or options.backend == "faiss"):
        raise UserError(
            "re-ranking, query expansion and an index need one feature of an image, not the mean of several "
            "distances; set the ensemble to normalized or raw"
        )
    _check(members, names or {split: [split] * len(found) for split, found in members.items()}, options.metric)
    with warned_before():
        return _score_checked(members, options)


def _check(members: Mapping[str, Sequence[FeatureSet]], names: Mapping[str, Sequence[str]], metric: str) -> None:
    """Refuse what cannot be scored together, split by split and member by member."""
    queries = list(zip(names["query"], members["query"], strict=True))
    for split, found in members.items():
        for name, member, (query_name, query) in zip(names[split], found, queries, strict=True):
            check_not_empty(name, len(member))
            check_widths(name, member.features.shape[1], query_name, query.features.shape[1])
            check_models(name, member.model, query_name, query.model)
            check_features(name, member, metric, any_scale=True)
    warn_of_copies(members["query"][0], members["gallery"][0], names["gallery"][0], metric)


def _score_checked(members: Mapping[str, Sequence[FeatureSet]], options: ScoringOptions) -> dict[str, Any]:
    queries, galleries, boxes = members["query"], members["gallery"], members.get("boxes")
    own = own_images(queries[0], galleries[0], metric=options.metric)
    with stage("single query"):
        metrics = {"single_query": _rank(queries, galleries, options, own)}
    if boxes is not None:
        with stage("multi query"):
            pooled = [_pooled(*sides, options) for sides in zip(queries, boxes, strict=True)]
            metrics["multi_query"] = _rank(pooled, galleries, options, own)
    if not (options.rerank or options.expand):
        return metrics
    query, gallery = _prepared(queries[0], options), _prepared(without_junk(galleries[0]), options)
    own = own_images(query, gallery, metric=options.metric)
    if options.expand:
        with stage("query expansion"):
            features = expand_queries(query.features, gallery.features, count=options.expand, alpha=options.alpha)
            metrics["expanded"] = _rank([query.with_features(features)], [gallery], options, own)
    if options.rerank:
        k1, k2, lambda_value = options.rerank
        with stage("re-ranking"):
            distances = k_reciprocal_distances(
                query.features, gallery.features, k1=k1, k2=k2, lambda_value=lambda_value
            )
            found = evaluate_distances(distances, query, gallery, unmatched=options.unmatched, fpr=options.fpr, own=own)
            metrics["reranked"] = found.as_dict()
    return metrics


def without_junk(gallery: FeatureSet) -> FeatureSet:
    """The gallery as a search would know it: images of id -1 are left out."""
    return gallery.select(~is_junk(gallery.person_ids))


def _rank(
    queries: Sequence[FeatureSet],
    galleries: Sequence[FeatureSet],
    options: ScoringOptions,
    own: Pairs,
) -> dict[str, Any]:
    common: dict[str, Any] = {
        "metric": options.metric,
        "unmatched": options.unmatched,
        "fpr": options.fpr,
        "own": own,
    }
    if len(queries) > 1:
        return evaluate_mean_distances(queries, galleries, **common).as_dict()
    return evaluate_rankings(
        queries[0],
        galleries[0],
        backend=options.backend,
        index=options.index,
        parameters=options.parameters,
        device=options.device,
        **common,
    ).as_dict()


def _prepared(side: FeatureSet, options: ScoringOptions) -> FeatureSet:
    """Under cosine each image has the same say, whatever the length of its feature."""
    return side.with_features(normalize(side.features)) if options.metric == "cosine" else side


def _pooled(query: FeatureSet, boxes: FeatureSet, options: ScoringOptions) -> FeatureSet:
    return pool_multi_query(_prepared(query, options), _prepared(boxes, options), how=options.pooling)


def score_files(
    files: Mapping[str, Sequence[str | os.PathLike[str]]],
    options: ScoringOptions | None = None,
    *,
    ensemble: str = "normalized",
    read: Callable[[str | os.PathLike[str]], FeatureSet] = read_features,
) -> dict[str, Any]:
    """`score` of feature files by split: `query`, `gallery` and, for multi-query, `boxes`.

    Several files of a split are an ensemble, across runs and architectures.

    Args:
        files: one or more feature files each.
        options: what is scored.
        ensemble: `normalized` or `raw` concatenation, or `distances` (the mean of the members' distances).
        read: from one of these files to its features.

    Raises:
        UserError: naming the file that cannot be scored with the others.
    """
    counts = {name: len(paths) for name, paths in files.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} for {name}" for name, count in counts.items())
        raise UserError(f"an ensemble needs as many files for every split, got {listed}")
    options = options or ScoringOptions()
    with stage("reading"):
        members = {name: _load_members(paths, read) for name, paths in files.items()}
    names = {name: [str(path) for path in paths] for name, paths in files.items()}
    first = {name: found[0] for name, found in members.items()}
    check_scored(first, {name: found[0] for name, found in names.items()}, options.metric)
    if ensemble == "distances" or len(members["query"]) == 1:
        return score_members(members, options, names=names)
    _check(members, names, options.metric)
    with warned_before():
        whole = {name: _concatenated(found, ensemble, options.metric) for name, found in members.items()}
        return _score_checked({name: [features] for name, features in whole.items()}, options)


def _load_members(
    paths: Sequence[str | os.PathLike[str]], read: Callable[[str | os.PathLike[str]], FeatureSet]
) -> list[FeatureSet]:
    members = [read(path) for path in paths]
    for path, member in zip(paths, members, strict=True):
        if len(member) != len(members[0]):
            raise UserError(f"{path}: holds {len(member)} images, {paths[0]} holds {len(members[0])}; {_SAME}")
        for what in ("person_ids", "camera_ids", "clothes", "paths"):
            ours, theirs = getattr(members[0], what), getattr(member, what)
            different = np.flatnonzero(ours != theirs).tolist()
            if what == "paths":
                different = [row for row in different if _of_two_images(ours[row], theirs[row])]
            if different:
                remedy = "extract all with one PROTOCOL.CLOTHES" if what == "clothes" else _SAME
                raise UserError(
                    f"{path}: {what} differ from those of {paths[0]}, first in row {different[0]}; {remedy}"
                )
    return members


def _of_two_images(path: str, other: str) -> bool:
    """Whether two names say so; folders may be named from different places, and files be copies in other formats."""
    known = all(name and not is_row_name(name) for name in (path, other))
    return known and Path(path).stem != Path(other).stem


def _concatenated(members: Sequence[FeatureSet], how: str, metric: str) -> FeatureSet:
    features = [member.features for member in members]
    if how == "raw" and metric == "euclidean":  # distances depend on the lengths: as they are
        return replace(members[0], features=np.concatenate(features, axis=1), model="")
    return replace(members[0], features=concatenate_features(features, how=how), model="")
