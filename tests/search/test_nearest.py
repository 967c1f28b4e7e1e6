"""Exact nearest neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from reid_dml.errors import UserError
from reid_dml.features import FeatureSet
from reid_dml.features.feature_set import normalize
from reid_dml.ranking.query_expansion import expand_queries
from reid_dml.search import Gallery
from reid_dml.search.nearest import nearest


@pytest.fixture
def sides(rng):
    return (rng.normal(size=(count, 6)).astype(np.float32) for count in (20, 50))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_neighbours_match_brute_force(sides, metric):
    query, gallery = sides
    scores, rows = nearest(query, gallery, 7, metric=metric)
    if metric == "cosine":
        query, gallery = normalize(query), normalize(gallery)
    distances = ((query[:, None] - gallery[None]) ** 2).sum(2)
    np.testing.assert_array_equal(rows, np.argsort(distances, axis=1)[:, :7])
    expected = 1 - distances / 2 if metric == "cosine" else distances
    np.testing.assert_allclose(scores, np.take_along_axis(expected, rows, 1), atol=1e-5)


def test_what_cannot_be_found_is_refused(sides):
    query, gallery = sides
    with pytest.raises(UserError, match="51 neighbours were asked for, the gallery has 50 images; ask for 1 to 50"):
        nearest(query, gallery, 51)
    for none in (0, -1):
        with pytest.raises(UserError, match=f"{none} neighbours were asked for, the gallery has 50 images; ask for 1 "):
            nearest(query, gallery, none)
    with pytest.raises(UserError, match="0 neighbours were asked for, the gallery has 50 images; ask for 1 to 50"):
        expand_queries(query, gallery, count=0)
    with pytest.raises(ValueError, match="gallery: features are 5-d, those of query are 6-d"):
        nearest(query, gallery[:, :5], 1)
    with pytest.raises(ValueError, match="metric: 'l1'"):
        nearest(query, gallery, 1, metric="l1")
    gallery[3, 1] = np.nan
    with pytest.raises(UserError, match="gallery: 1 of 50 features are NaN or infinite, first rows 3;"):
        nearest(query, gallery, 1)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_of_equal_images_the_first_comes_first(rng, metric, tmp_path):
    gallery = rng.normal(size=(300, 8)).astype(np.float32)
    gallery[[41, 200]] = gallery[7]
    assert nearest(gallery[7:8], gallery, 3, metric=metric)[1].tolist() == [[7, 41, 200]]
    features = FeatureSet(gallery, np.arange(1, 301), np.zeros(300, int), [f"{row}.jpg" for row in range(300)])
    found = Gallery.build(tmp_path / "i", features, metric=metric).search(gallery[7:8], 3)
    assert found.ids.tolist() == [[7, 41, 200]]


def test_distances_that_leave_float32_are_refused():
    query, gallery = np.float32([[1.5e19, 0]]), np.float32([[-1.5e19, 0], [1.4e19, 0], [1.3e19, 0]])
    with pytest.raises(UserError, match="query: 1 of 1 features are too large for Euclidean distances"):
        nearest(query, gallery, 3, metric="euclidean")


def test_numbers_of_16_bits_that_features_leave_are_refused(rng, tmp_path):
    large = FeatureSet(np.float32(1e5) * np.eye(4, dtype=np.float32), np.arange(1, 5), np.zeros(4, int), list("abcd"))
    with pytest.raises(UserError, match="'SQfp16': its numbers of 16 bits end at 65,504, and features go beyond"):
        Gallery.build(tmp_path / "i", large, factory="SQfp16", metric="euclidean")
    assert Gallery.build(tmp_path / "c", large, factory="SQfp16").search(large, 1).ids.tolist() == [[0], [1], [2], [3]]
