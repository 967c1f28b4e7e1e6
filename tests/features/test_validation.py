"""One rule for doubtful features, whoever is asked: measured with a warning, never kept in an index nor asked of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reid_dml.features import FeatureSet
from reid_dml.features.validation import (
    DoubtfulFeatures,
    FeatureError,
    check_features,
    check_models,
    check_vectors,
    check_widths,
)
from reid_dml.ranking.calibration import calibrate
from reid_dml.ranking.metrics import evaluate_mean_distances, evaluate_rankings
from reid_dml.ranking.query_expansion import expand_queries
from reid_dml.ranking.ranked_list import exact_lists
from reid_dml.ranking.scoring import score
from reid_dml.search import Gallery
from reid_dml.search.nearest import nearest


@pytest.fixture
def sides(rng):
    """Query and gallery of the same persons; gallery row 2 is all 0."""

    def side(name, count, camera):
        features = rng.normal(size=(count, 5)).astype(np.float32)
        return FeatureSet(
            features, np.arange(count) % 4 + 1, np.full(count, camera), [f"{name}{row}" for row in range(count)]
        )

    query, gallery = side("q", 12, 1), side("g", 30, 2)
    gallery.features[2] = 0
    return query, gallery


MEASURES = {
    "evaluate_rankings": evaluate_rankings,
    "an index of evaluate_rankings": lambda q, g: evaluate_rankings(q, g, backend="faiss"),
    "evaluate_mean_distances": lambda q, g: evaluate_mean_distances([q], [g]),
    "score": lambda q, g: score({"query": q, "gallery": g}),
    "calibrate": lambda q, g: calibrate(q, g, false_accept_rate=0.1),
    "nearest": lambda q, g: nearest(q.features, g.features, 3),
    "expand_queries": lambda q, g: expand_queries(q.features, g.features, count=3),
    "exact_lists": lambda q, g: exact_lists(q, g, 3),
}


@pytest.mark.parametrize("measure", MEASURES)
def test_a_zero_vector_is_measured_with_one_warning(sides, measure):
    with pytest.warns(DoubtfulFeatures, match=r"gallery: 1 of 30 .* all 0.*first rows 2.*similarity 0") as seen:
        MEASURES[measure](*sides)
    assert len(seen) == 1


def test_its_similarity_is_0(sides):
    query, gallery = sides
    with pytest.warns(DoubtfulFeatures):
        scores, rows = nearest(query.features, gallery.features, 30)
    assert (scores[rows == 2] == 0).all()
    with pytest.warns(DoubtfulFeatures):
        scores, _ = nearest(np.zeros((1, 5), np.float32), gallery.features, 30)
    assert (scores == 0).all()


def test_an_index_takes_no_zero_vector(sides, tmp_path):
    query, gallery = sides
    words = r"1 of 30 features are all 0, .*first rows 2 \(g2\); remove"
    with pytest.raises(FeatureError, match=words):
        Gallery.build(tmp_path / "i", gallery)
    opened = Gallery.build(tmp_path / "i", query)
    with pytest.raises(FeatureError, match=words):
        opened.add(gallery)
    with pytest.raises(FeatureError, match="query: " + words):
        opened.search(gallery, 1)
    assert len(Gallery.build(tmp_path / "e", gallery, metric="euclidean")) == 30


def test_junk_must_be_finite_and_nothing_more(sides):
    _, gallery = sides
    junk = replace(gallery, person_ids=np.where(np.arange(30) == 2, -1, gallery.person_ids))
    for size, metric in ((0, "cosine"), (1e30, "euclidean")):
        junk.features[2] = size
        check_features("gallery", junk, metric)
        with pytest.raises(FeatureError, match="gallery: 1 of 30"):
            check_features("gallery", junk, metric, for_index=True)
    junk.features[2] = np.inf
    with pytest.raises(FeatureError, match=r"gallery: 1 of 30 features are NaN or infinite, first rows 2 \(g2\)"):
        check_features("gallery", junk, "cosine")


@pytest.mark.parametrize("measure", [name for name in MEASURES if name not in ("evaluate_rankings", "score")])
def test_different_widths_are_an_error_of_the_value_and_of_the_user(sides, measure):
    query, gallery = sides
    narrow = gallery.with_features(gallery.features[:, :4])
    with pytest.raises(FeatureError, match=r"gallery: features are 4-d, those of (query|features) are 5-d") as refusal:
        MEASURES[measure](query, narrow)
    assert isinstance(refusal.value, ValueError)


def test_models_are_compared_by_one_rule(sides, tmp_path):
    query, gallery = sides[0], sides[1].select(np.arange(3, 30))
    known, other = replace(query, model="a" * 32), replace(gallery, model="b" * 32)
    for measure in ("score", "calibrate"):
        MEASURES[measure](query, gallery)  # both unknown
        with pytest.raises(FeatureError, match=r"gallery: features of model bbbbbbbbbbbb, but .* model aaaaaaaaaaaa"):
            MEASURES[measure](known, other)
        with pytest.warns(DoubtfulFeatures, match=r"gallery: features of an unknown model, but .* model aaaa"):
            MEASURES[measure](known, gallery)
    index = Gallery.build(tmp_path / "i", gallery)
    index.search(query, 1)
    with pytest.raises(FeatureError, match=r"query: features of model aaaaaaaaaaaa, but .* an unknown model"):
        index.search(known, 1)


def test_the_first_three_rows_are_named():
    vectors = np.zeros((20_000, 2), np.float32)
    vectors[[5, 9000, 9001, 19_999]] = np.nan
    with pytest.raises(FeatureError, match="x: 4 of 20000 features are NaN or infinite, first rows 5, 9000, 9001;"):
        check_vectors("x", vectors)
    np.testing.assert_array_equal(check_vectors("x", np.array([[3, 4], [0, 0]], np.float32)), [5, 0])
    check_widths("x", 3, "y", 3)
    check_models("x", "", "y", "", for_index=True)
