"""Exact nearest neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from reid_dml.errors import UserError
from reid_dml.features.feature_set import normalize
from reid_dml.ranking.query_expansion import expand_queries
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
