"""Clothes-changing protocols: images of the query's person in its clothes, or its camera, do not count."""

from __future__ import annotations

import numpy as np
import pytest

from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.formats import write_features
from reid_dml.ranking.metrics import evaluate_rankings
from reid_dml.ranking.ranked_list import exact_lists
from reid_dml.ranking.scoring import score


def side(rng, count, start=0):
    persons = rng.integers(1, 6, count)
    return FeatureSet(
        rng.normal(size=(count, 5)).astype(np.float32),
        persons,
        rng.integers(1, 4, count),
        [f"{row}.png" for row in range(start, start + count)],
        clothes=rng.integers(1, 4, count),
    )


def by_hand(query, gallery):
    """mAP and rank-1 as "Clothes-Changing Person Re-identification with RGB Modality Only" (CVPR 2022) counts them."""
    precisions, firsts = [], []
    for row in range(len(query)):
        distances = np.linalg.norm(gallery.features - query.features[row], axis=1)
        same = gallery.person_ids == query.person_ids[row]
        left_out = same & ((gallery.camera_ids == query.camera_ids[row]) | (gallery.clothes == query.clothes[row]))
        order = np.argsort(distances, kind="stable")
        good = (same & ~left_out)[order][~left_out[order]]
        if good.any():
            hits = np.flatnonzero(good)
            precisions.append(np.mean(np.arange(1, len(hits) + 1) / (hits + 1)))
            firsts.append(float(good[0]))
    return np.mean(precisions), np.mean(firsts)


def test_metrics_are_those_by_hand(rng):
    query, gallery = side(rng, 20), side(rng, 120, 20)
    found = evaluate_rankings(query, gallery, metric="euclidean")
    assert (found.mAP, found.cmc[0]) == pytest.approx(by_hand(query, gallery))
    assert found.mAP != pytest.approx(evaluate_rankings(*map(without, (query, gallery)), metric="euclidean").mAP)


def without(features):
    return FeatureSet(features.features, features.person_ids, features.camera_ids, features.paths)


def test_lists_pass_over_the_query_s_clothes(rng):
    query, gallery = side(rng, 20), side(rng, 120, 20)
    for found in exact_lists(query, gallery, 30):
        for image in found.images:
            if image.person_id == found.query.person_id:
                assert image.clothes != found.query.clothes
                assert image.camera_id != found.query.camera_id


def test_files_keep_them_or_refuse(rng, tmp_path):
    query, gallery = side(rng, 20), side(rng, 120, 20)
    for name, features in (("query", query), ("gallery", gallery)):
        write_features(features, tmp_path / f"{name}.npz")
    read = {name: FeatureSet.load(tmp_path / f"{name}.npz") for name in ("query", "gallery")}
    np.testing.assert_array_equal(read["gallery"].clothes, gallery.clothes)
    assert score(read) == score({"query": query, "gallery": gallery})
    with pytest.raises(UserError, match=r"query.parquet: only .npz keeps the clothes"):
        write_features(query, tmp_path / "query.parquet")


def test_records_bring_them_along(rng):
    query = side(rng, 20)
    again = FeatureSet.of(query.features, query.records())
    np.testing.assert_array_equal(again.clothes, query.clothes)
    np.testing.assert_array_equal(again.select(np.array([3, 1])).clothes, query.clothes[[3, 1]])
