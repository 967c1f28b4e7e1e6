"""Scoring beside single and multi queries: ensembles of files, query expansion, re-ranking, verification."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reid_dml.errors import UserError
from reid_dml.features import FeatureSet
from reid_dml.features.ensemble import concatenate_features
from reid_dml.features.feature_set import normalize
from reid_dml.features.validation import DoubtfulFeatures
from reid_dml.ranking.metrics import evaluate_distances, evaluate_mean_distances, evaluate_rankings
from reid_dml.ranking.query_expansion import expand_queries
from reid_dml.ranking.rerank import k_reciprocal_distances
from reid_dml.ranking.scoring import ScoringOptions, score, score_files


def images(rng, count, width, *, camera, centres=12, junk=0.0):
    persons = rng.integers(1, centres + 1, count)
    places = np.random.default_rng(99 + width).normal(size=(centres, width))
    features = places[persons - 1] + 1.5 * rng.normal(size=(count, width))
    persons[rng.random(count) < junk] = -1
    return FeatureSet(features.astype(np.float32), persons, np.full(count, camera), [f"{i}.jpg" for i in range(count)])


@pytest.fixture
def sides(rng):
    return images(rng, 50, 6, camera=1), images(rng, 300, 6, camera=2, junk=0.2)


def other_member(rng, side, width):
    member = images(rng, len(side), width, camera=0)
    return FeatureSet(member.features, side.person_ids, side.camera_ids, side.paths)


def test_reranked_metrics_are_those_of_the_distances_without_junk(sides):
    query, gallery = sides
    found = score({"query": query, "gallery": gallery}, ScoringOptions(rerank=(10, 3, 0.3)))
    kept = gallery.select(gallery.person_ids != -1)
    distances = k_reciprocal_distances(normalize(query.features), normalize(kept.features), k1=10, k2=3)
    assert found["reranked"] == evaluate_distances(distances, query, kept).as_dict()
    assert found["reranked"]["mAP"] > found["single_query"]["mAP"]
    assert "expanded" not in found


@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_query_expansion_is_the_weighted_sum_of_the_nearest(sides, alpha):
    query, gallery = (normalize(side.features) for side in sides)
    found = expand_queries(sides[0].features, sides[1].features, count=4, alpha=alpha)
    for row in range(len(query)):
        similarities = gallery @ query[row]
        nearest = np.argsort(-similarities)[:4]
        weights = np.maximum(similarities[nearest], 0) ** alpha
        expected = query[row] + (weights[:, None] * gallery[nearest]).sum(0)
        np.testing.assert_allclose(found[row], expected / np.linalg.norm(expected), atol=1e-5)
    metrics = score({"query": sides[0], "gallery": sides[1]}, ScoringOptions(expand=4, alpha=alpha))
    kept = sides[1].select(sides[1].person_ids != -1)
    expanded = expand_queries(sides[0].features, kept.features, count=4, alpha=alpha)
    assert metrics["expanded"] == evaluate_rankings(sides[0].with_features(expanded), kept).as_dict()


def test_mean_of_euclidean_distances_is_that_of_brute_force(rng, sides):
    query, gallery = sides
    second = other_member(rng, query, 3), other_member(rng, gallery, 3)
    distances = sum(
        np.linalg.norm(q.features[:, None].astype(float) - g.features[None], axis=2) for q, g in (sides, second)
    )
    found = evaluate_mean_distances([query, second[0]], [gallery, second[1]], metric="euclidean")
    expected = evaluate_distances(distances, query, gallery)
    assert found.mAP == pytest.approx(expected.mAP, abs=1e-6)
    np.testing.assert_allclose(found.cmc, expected.cmc)


def test_mean_of_cosine_similarities_is_the_normalized_concatenation(rng, sides):
    query, gallery = sides
    second = other_member(rng, query, 3), other_member(rng, gallery, 3)
    whole = [
        own.with_features(concatenate_features([own.features, other.features]))
        for own, other in zip(sides, second, strict=True)
    ]
    found = evaluate_mean_distances([query, second[0]], [gallery, second[1]])
    assert found.mAP == pytest.approx(evaluate_rankings(*whole).mAP, abs=1e-6)


def test_an_ensemble_of_files(rng, sides, tmp_path):
    query, gallery = sides
    paths = {name: [tmp_path / f"{name}_{i}.npz" for i in range(2)] for name in ("query", "gallery")}
    members = {name: [side, other_member(rng, side, 3)] for name, side in (("query", query), ("gallery", gallery))}
    for name in paths:
        for path, member in zip(paths[name], members[name], strict=True):
            member.save(path)
    joined = [query.with_features(concatenate_features([m.features for m in members["query"]])),
              gallery.with_features(concatenate_features([m.features for m in members["gallery"]]))]  # fmt: skip
    found = score_files(paths)
    assert json.loads(json.dumps(found)) == score({"query": joined[0], "gallery": joined[1]})
    assert score_files(paths, ensemble="distances")["single_query"]["mAP"] == pytest.approx(
        found["single_query"]["mAP"], abs=1e-6
    )
    with pytest.raises(UserError, match="as many files for every split, got 2 for query, 1 for gallery"):
        score_files({"query": paths["query"], "gallery": paths["gallery"][:1]})
    for protocols in (ScoringOptions(expand=1), ScoringOptions(backend="faiss")):
        with pytest.raises(UserError, match="query expansion and an index need one feature"):
            score_files(paths, protocols, ensemble="distances")
    members["query"][1].select(np.arange(49)).save(paths["query"][1])
    with pytest.raises(UserError, match=r"query_1\.npz: holds 49 images, .*query_0\.npz holds 50"):
        score_files(paths)
    member = members["query"][1]
    for changed, words in (
        (replace(member, paths=[f"other/{row}.jpg" for row in np.arange(50)[::-1]]), "paths differ"),
        (replace(member, clothes=np.arange(50)), "clothes differ"),
    ):
        changed.save(paths["query"][1])
        with pytest.raises(UserError, match=rf"query_1\.npz: {words} .*first in row"):
            score_files(paths)
    replace(member, paths=[f"elsewhere/{Path(path).stem}.png" for path in member.paths]).save(paths["query"][1])
    assert score_files(paths) == found  # the same images, named from elsewhere
    replace(member, paths=np.full(50, "")).save(paths["query"][1])
    assert score_files(paths) == found  # and where nobody knows their names
    members["query"][1].select(np.arange(50)[::-1]).save(paths["query"][1])
    with pytest.raises(UserError, match=r"query_1\.npz: person_ids differ from those of .*first in row"):
        score_files(paths)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rerank": (0, 6, 0.3)}, "k1 and k2"),
        ({"expand": -1}, "query expansion"),
        ({"expand": 2, "alpha": float("nan")}, "query expansion"),
        ({"expand": 2, "metric": "euclidean"}, "cosine similarity"),
        ({"fpr": [1.0]}, "false-positive rates"),
        ({"fpr": [0.1], "backend": "faiss"}, "all pairs"),
        ({"metric": "l1"}, "metric: 'l1' is not one of cosine, euclidean"),
        ({"pooling": "x"}, "pooling: 'x' is not one of mean, max"),
        ({"unmatched": "foo"}, "unmatched: 'foo' is not one of skip, zero"),
        ({"backend": "bar"}, "backend: 'bar' is not one of counting, faiss"),
        ({"rerank": (1.5, 2, 0.3)}, "whole k1 and k2"),
    ],
)
def test_unusable_options_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        ScoringOptions(**options)


def test_more_neighbours_than_the_gallery_holds(sides):
    with pytest.raises(UserError, match="the gallery has"):
        score({"query": sides[0], "gallery": sides[1]}, ScoringOptions(expand=1000))


def test_features_of_two_models_are_refused_and_of_an_unknown_one_reported_by_file(sides, tmp_path):
    query, gallery = sides
    paths = {"query": [tmp_path / "q.npz"], "gallery": [tmp_path / "g.npz"]}
    replace(query, model="a").save(paths["query"][0])
    replace(gallery, model="b").save(paths["gallery"][0])
    with pytest.raises(UserError, match=r"g\.npz: features of model b, but .*q\.npz is of model a"):
        score_files(paths)
    gallery.save(paths["gallery"][0])
    with pytest.warns(
        DoubtfulFeatures, match=r"g\.npz: features of an unknown model, but .*q\.npz is of model a"
    ) as seen:
        found = score_files(paths)
    assert len(seen) == 1
    assert found == score({"query": query, "gallery": gallery})


@pytest.mark.parametrize("ensemble", ["normalized", "distances"])
def test_features_without_direction_are_reported_once_by_file(sides, tmp_path, ensemble):
    query, gallery = sides
    gallery.features[np.flatnonzero(gallery.person_ids > 0)[0]] = 0
    gallery.features[np.flatnonzero(gallery.person_ids == -1)] = 0  # junk, which says nothing anyway
    paths = {"query": [tmp_path / "q.npz"], "gallery": [tmp_path / "g.npz"]}
    query.save(paths["query"][0])
    gallery.save(paths["gallery"][0])
    options = ScoringOptions(rerank=(5, 2, 0.3), expand=2) if ensemble == "normalized" else ScoringOptions()
    with pytest.warns(DoubtfulFeatures, match=r"g\.npz: 1 of 300 features are all 0") as seen:
        assert score_files(paths, options, ensemble=ensemble)["single_query"]["mAP"] > 0
    assert len(seen) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score_files(paths, ScoringOptions(metric="euclidean"))["single_query"]["mAP"] > 0


def test_raw_members_keep_their_lengths_under_euclidean_distance(rng, sides, tmp_path):
    paths = {name: [tmp_path / f"{name}.npz"] * 2 for name in ("query", "gallery")}
    for name, side in zip(paths, sides, strict=True):
        side.save(paths[name][0])
    one = score({"query": sides[0], "gallery": sides[1]}, ScoringOptions(metric="euclidean"))
    twice = score_files(paths, ScoringOptions(metric="euclidean"), ensemble="raw")
    assert twice["single_query"]["mAP"] == pytest.approx(one["single_query"]["mAP"], abs=1e-6)
