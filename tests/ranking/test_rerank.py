"""k-reciprocal re-ranking against the dense definition, written as the authors' code is, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.dense_reranking import dense as reference
from reid_dml.errors import UserError
from reid_dml.ranking import rerank
from reid_dml.ranking.rerank import k_reciprocal_distances


def dense(query, gallery, *options):
    return reference(query.astype(np.float64), gallery.astype(np.float64), *options, kind="stable")


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 30),
    st.integers(1, 150),
    st.integers(1, 40),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_equals_the_dense_definition(seed, queries, items, k1, k2, lambda_value, ties):
    rng = np.random.default_rng(seed)
    draw = (lambda *shape: rng.integers(-3, 4, shape)) if ties else (lambda *shape: rng.normal(size=shape))
    query, gallery = draw(queries, 4).astype(np.float32), draw(items, 4).astype(np.float32)
    found = k_reciprocal_distances(query, gallery, k1=k1, k2=k2, lambda_value=lambda_value)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, dense(query, gallery, k1, k2, lambda_value), atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", [1.0, 1e30, 1e-30])
def test_more_images_than_a_block_of_persons(monkeypatch, scale):
    monkeypatch.setattr(rerank, "_BLOCK", 100)
    monkeypatch.setattr(rerank, "_CHUNKS", 8)  # so that minima of parts bound the neighbours
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(40, 16))
    query, gallery = (
        (centres[rng.integers(0, 40, n)] + 0.5 * rng.normal(size=(n, 16))).astype(np.float32) for n in (60, 550)
    )
    expected = dense(query, gallery)
    found = k_reciprocal_distances(query * np.float32(scale), gallery * np.float32(scale))
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("offset", [10, 100])
def test_a_common_offset_costs_no_digits(rng, offset):
    query, gallery = (rng.normal(size=(n, 64)).astype(np.float32) + offset for n in (20, 200))
    np.testing.assert_allclose(k_reciprocal_distances(query, gallery), dense(query, gallery), atol=1e-5, rtol=0)


def test_identical_images_are_as_near_as_can_be():
    ones = np.ones((40, 3), np.float32)
    found = k_reciprocal_distances(ones[:5], ones[5:])
    np.testing.assert_allclose(found, dense(ones[:5], ones[5:]), atol=1e-5)


def test_lambda_one_is_the_scaled_original_distance():
    query, gallery = np.array([[0.0], [1]], np.float32), np.array([[3.0], [4]], np.float32)
    found = k_reciprocal_distances(query, gallery, lambda_value=1.0)
    np.testing.assert_allclose(found, [[9 / 16, 1], [4 / 9, 1]], rtol=1e-6)


def test_unusable_input_is_refused():
    good, bad = np.ones((3, 2), np.float32), np.full((3, 2), np.nan, np.float32)
    with pytest.raises(UserError, match="gallery: 3 of 3 features are NaN or infinite, first rows 0, 1, 2;"):
        k_reciprocal_distances(good, bad)
    with pytest.raises(UserError, match="query: holds no features"):
        k_reciprocal_distances(good[:0], good)
    with pytest.raises(ValueError, match="gallery: features are 1-d, those of query are 2-d"):
        k_reciprocal_distances(good, good[:, :1])
    with pytest.raises(ValueError, match="k1: must be a whole number of at least 1"):
        k_reciprocal_distances(good, good, k1=0)
    with pytest.raises(UserError, match="query: 3 of 3 features are NaN or infinite"):
        k_reciprocal_distances(good.astype(np.float64) * 1e39, good)
    with pytest.raises(ValueError, match="lambda_value"):
        k_reciprocal_distances(good, good, lambda_value=1.5)
