"""Metrics of feature files: single-query and multi-query by the same two lines, whoever made the features."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from reid_dml.errors import UserError
from reid_dml.retrieval.features import FeatureSet, normalize
from reid_dml.retrieval.metrics import evaluate_rankings
from reid_dml.retrieval.multi_query import pool_multi_query


def score(sets: Mapping[str, FeatureSet], *, pooling: str = "mean", metric: str = "cosine") -> dict[str, Any]:
    """Single-query metrics of `query` against `gallery` and, where there are `boxes`, multi-query metrics.

    Returns the layout of metrics files; a protocol that was not run is absent.
    """
    query, gallery, boxes = sets["query"], sets["gallery"], sets.get("boxes")
    metrics = {"single_query": evaluate_rankings(query, gallery, metric=metric).as_dict()}
    if boxes is not None:
        if metric == "cosine":  # each image has the same say, whatever the length of its feature
            query, boxes = (side.with_features(normalize(side.features)) for side in (query, boxes))
        pooled = pool_multi_query(query, boxes, how=pooling)
        metrics["multi_query"] = evaluate_rankings(pooled, gallery, metric=metric).as_dict()
    return metrics


def score_files(
    query: str | os.PathLike[str],
    gallery: str | os.PathLike[str],
    boxes: str | os.PathLike[str] | None = None,
    *,
    pooling: str = "mean",
    metric: str = "cosine",
) -> dict[str, Any]:
    """`score` of feature files. Raises `UserError` naming the file that cannot be scored against the query's."""
    paths = {"query": query, "gallery": gallery, **({"boxes": boxes} if boxes else {})}
    sets = {name: FeatureSet.load(path) for name, path in paths.items()}
    width = sets["query"].features.shape[1]
    for name, path in paths.items():
        if not len(sets[name]):
            raise UserError(f"{path}: holds no features; extract them again with tools/extract_features.py")
        if sets[name].features.shape[1] != width:
            raise UserError(
                f"{path}: features are {sets[name].features.shape[1]}-d, those of {query} are {width}-d; extract "
                "both with the same networks"
            )
    return score(sets, pooling=pooling, metric=metric)
