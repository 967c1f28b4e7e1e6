"""All protocols of a set of features, in the layout of metrics files, whoever made the features."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reid_dml.data.records import JUNK
from reid_dml.errors import UserError
from reid_dml.features.ensemble import concatenate_features
from reid_dml.features.feature_set import FeatureSet, normalize
from reid_dml.features.formats import read_features
from reid_dml.ranking.metrics import evaluate_distances, evaluate_mean_distances, evaluate_rankings
from reid_dml.ranking.multi_query import pool_multi_query
from reid_dml.ranking.query_expansion import expand_queries
from reid_dml.ranking.rerank import k_reciprocal_distances
from reid_dml.timing import stage


@dataclass(frozen=True)
class Protocols:
    """What is evaluated, and how."""

    metric: str = "cosine"  # or euclidean
    pooling: str = "mean"  # of multi-query, or max
    unmatched: str = "skip"  # queries without a match: skip, or count as zero
    fpr: Sequence[float] = ()  # false-positive rates at which to measure true-positive rates
    rerank: tuple[int, int, float] | None = None  # k1, k2, lambda of k-reciprocal re-ranking
    expand: int = 0  # gallery images that query expansion takes up; 0: not run
    alpha: float = 0.0  # exponent of its weights
    backend: str = "counting"  # or faiss
    index: str = "Flat"  # faiss: the index to rank by
    parameters: str = ""  # faiss: of the search, such as nprobe=32; empty: the type's default
    device: str = "cpu"  # counting: cpu or a CUDA device

    def __post_init__(self) -> None:
        if self.rerank:
            k1, k2, lambda_value = self.rerank
            if k1 < 1 or k2 < 1 or not 0 <= lambda_value <= 1:
                raise UserError(
                    f"re-ranking needs k1 and k2 of at least 1 and lambda in [0, 1], got {k1}, {k2} and {lambda_value}"
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


def score(sets: Mapping[str, FeatureSet], protocols: Protocols | None = None) -> dict[str, Any]:
    """Single-query metrics of `query` against `gallery`, and of every other protocol that is asked for.

    With `boxes` there are multi-query metrics. Returns the layout of metrics files; a protocol that was not run is
    absent. Re-ranking and query expansion are of single queries.
    """
    return score_members({name: [features] for name, features in sets.items()}, protocols or Protocols())


def score_members(members: Mapping[str, Sequence[FeatureSet]], protocols: Protocols) -> dict[str, Any]:
    """`score` by the mean of several members' distances; `members` holds each split's features, member by member.

    Raises `UserError` for re-ranking or query expansion by more than one member: these need one feature.
    """
    queries, galleries, boxes = members["query"], members["gallery"], members.get("boxes")
    if len(queries) > 1 and (protocols.rerank or protocols.expand or protocols.backend == "faiss"):
        raise UserError(
            "re-ranking, query expansion and an index need one feature of an image, not the mean of several "
            "distances; set the ensemble to normalized or raw"
        )
    with stage("single query"):
        metrics = {"single_query": _rank(queries, galleries, protocols)}
    if boxes is not None:
        with stage("multi query"):
            pooled = [_pooled(*sides, protocols) for sides in zip(queries, boxes, strict=True)]
            metrics["multi_query"] = _rank(pooled, galleries, protocols)
    if not (protocols.rerank or protocols.expand):
        return metrics
    query, gallery = _prepared(queries[0], protocols), _prepared(without_junk(galleries[0]), protocols)
    if protocols.expand:
        with stage("query expansion"):
            features = expand_queries(query.features, gallery.features, count=protocols.expand, alpha=protocols.alpha)
            metrics["expanded"] = _rank([query.with_features(features)], [gallery], protocols)
    if protocols.rerank:
        k1, k2, lambda_value = protocols.rerank
        with stage("re-ranking"):
            distances = k_reciprocal_distances(
                query.features, gallery.features, k1=k1, k2=k2, lambda_value=lambda_value
            )
            found = evaluate_distances(distances, query, gallery, unmatched=protocols.unmatched, fpr=protocols.fpr)
            metrics["reranked"] = found.as_dict()
    return metrics


def without_junk(gallery: FeatureSet) -> FeatureSet:
    """The gallery as a search would know it: images of id -1 are left out."""
    return gallery.select(gallery.person_ids != JUNK)


def _rank(queries: Sequence[FeatureSet], galleries: Sequence[FeatureSet], protocols: Protocols) -> dict[str, Any]:
    common: dict[str, Any] = {
        "metric": protocols.metric,
        "unmatched": protocols.unmatched,
        "fpr": protocols.fpr,
    }
    if len(queries) > 1:
        return evaluate_mean_distances(queries, galleries, **common).as_dict()
    return evaluate_rankings(
        queries[0],
        galleries[0],
        backend=protocols.backend,
        index=protocols.index,
        parameters=protocols.parameters,
        device=protocols.device,
        **common,
    ).as_dict()


def _prepared(side: FeatureSet, protocols: Protocols) -> FeatureSet:
    """Under cosine each image has the same say, whatever the length of its feature."""
    return side.with_features(normalize(side.features)) if protocols.metric == "cosine" else side


def _pooled(query: FeatureSet, boxes: FeatureSet, protocols: Protocols) -> FeatureSet:
    return pool_multi_query(_prepared(query, protocols), _prepared(boxes, protocols), how=protocols.pooling)


def score_files(
    files: Mapping[str, Sequence[str | os.PathLike[str]]],
    protocols: Protocols | None = None,
    *,
    ensemble: str = "normalized",
) -> dict[str, Any]:
    """`score` of feature files by split: `query`, `gallery` and, for multi-query, `boxes`.

    Several files of a split are an ensemble, across runs and architectures.

    Args:
        files: one or more feature files each.
        protocols: what is evaluated.
        ensemble: `normalized` or `raw` concatenation, or `distances` (the mean of the members' distances).

    Raises:
        UserError: naming the file that cannot be scored with the others.
    """
    counts = {name: len(paths) for name, paths in files.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} for {name}" for name, count in counts.items())
        raise UserError(f"an ensemble needs as many files for every split, got {listed}")
    protocols = protocols or Protocols()
    with stage("reading"):
        members = {name: _load_members(paths) for name, paths in files.items()}
        for name, paths in files.items():
            for path, member, other, query in zip(paths, members[name], files["query"], members["query"], strict=True):
                if member.features.shape[1] != query.features.shape[1]:
                    raise UserError(
                        f"{path}: features are {member.features.shape[1]}-d, those of {other} are "
                        f"{query.features.shape[1]}-d; extract both with the same networks"
                    )
                if member.model and query.model and member.model != query.model:
                    raise UserError(
                        f"{path}: features of the model {member.model}, those of {other} of {query.model}; extract "
                        "both with the same networks"
                    )
                if protocols.metric == "cosine":
                    _refuse_zeros(member, path)
    if ensemble == "distances":
        return score_members(members, protocols)
    whole = {name: _concatenated(found, ensemble, protocols.metric) for name, found in members.items()}
    return score(whole, protocols)


def _load_members(paths: Sequence[str | os.PathLike[str]]) -> list[FeatureSet]:
    members = [read_features(path) for path in paths]
    for path, member in zip(paths, members, strict=True):
        if not len(member):
            raise UserError(f"{path}: holds no features; extract them again with tools/extract_features.py")
        if len(member) != len(members[0]):
            raise UserError(
                f"{path}: holds {len(member)} images, {paths[0]} holds {len(members[0])}; an ensemble needs features "
                "of the same images"
            )
        for ids in ("person_ids", "camera_ids"):
            different = np.flatnonzero(getattr(member, ids) != getattr(members[0], ids))
            if len(different):
                raise UserError(
                    f"{path}: {ids} differ from those of {paths[0]}, first in row {different[0]}; an ensemble needs "
                    "features of the same images in the same order"
                )
    return members


def _refuse_zeros(member: FeatureSet, path: str | os.PathLike[str]) -> None:
    rows = np.flatnonzero(~member.features.any(1) & (member.person_ids != JUNK))
    if len(rows):
        named = ", ".join(f"{row} ({member.paths[row]})" for row in rows[:3])
        raise UserError(
            f"{path}: {len(rows)} of {len(member)} features are all 0, which has no direction for cosine similarity, "
            f"first rows {named}; remove these images, or use the Euclidean metric"
        )


def _concatenated(members: Sequence[FeatureSet], how: str, metric: str) -> FeatureSet:
    if len(members) == 1:
        return members[0]
    features = [member.features for member in members]
    if how == "raw" and metric == "euclidean":  # distances depend on the lengths: as they are
        return replace(members[0], features=np.concatenate(features, axis=1), model="")
    return replace(members[0], features=concatenate_features(features, how=how), model="")
