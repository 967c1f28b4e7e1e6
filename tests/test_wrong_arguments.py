"""Functions of docs/python.md with arguments of other types and shapes: one `ValueError` that names the argument."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from reid_dml import (
    FeatureExtractor,
    FeatureSet,
    evaluate_distances,
    evaluate_rankings,
    k_reciprocal_distances,
    pool_multi_query,
)
from reid_dml.device import resolve_device
from reid_dml.errors import UserError
from reid_dml.ranking.metrics import average_precisions, evaluate_mean_distances
from reid_dml.ranking.own_images import own_images
from reid_dml.search import Gallery

RNG = np.random.default_rng(0)


def side(count, camera):
    features = RNG.normal(size=(count, 4)).astype(np.float32)
    paths = [f"{camera}/{row}.jpg" for row in range(count)]
    return FeatureSet(features, np.arange(count) % 3 + 1, np.full(count, camera), paths)


QUERY, GALLERY = side(6, 1), side(9, 2)
DISTANCES = RNG.random((6, 9))
GRADIENT = torch.zeros(6, 9, requires_grad=True)
NO_SETS = [None, [1, 2], QUERY.features, torch.zeros(6, 4), "x", {"features": QUERY.features}]


def refused(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", NO_SETS, ids=lambda value: type(value).__name__)
def test_what_is_no_feature_set(wrong, tmp_path):
    refused(lambda: evaluate_rankings(wrong, GALLERY), "^query: must be a FeatureSet, got")
    refused(lambda: evaluate_rankings(QUERY, wrong), "^gallery: must be a FeatureSet")
    refused(lambda: evaluate_distances(DISTANCES, wrong, GALLERY), "^query: must be a FeatureSet")
    refused(lambda: average_precisions(QUERY, wrong), "^gallery: must be a FeatureSet")
    refused(lambda: own_images(QUERY, wrong), "^gallery: must be a FeatureSet")
    refused(lambda: pool_multi_query(wrong, GALLERY), "^query: must be a FeatureSet")
    refused(lambda: pool_multi_query(QUERY, wrong), "^boxes: must be a FeatureSet")
    refused(lambda: evaluate_mean_distances([QUERY], [wrong]), r"^galleries\[0\]: must be a FeatureSet")
    refused(lambda: evaluate_mean_distances(wrong, [GALLERY]), r"^queries")
    if not isinstance(wrong, list):
        refused(lambda: Gallery.build(tmp_path / "index", wrong), "^features: must be a FeatureSet or a list of")
    else:
        refused(lambda: Gallery.build(tmp_path / "index", wrong), "the feature file: must be a path, got int")


def test_members_that_do_not_fit_each_other():
    refused(lambda: evaluate_mean_distances([], []), "^queries: must be a list of feature sets")
    refused(lambda: evaluate_mean_distances([QUERY], [GALLERY, GALLERY]), "1 queries and 2 galleries")
    refused(lambda: evaluate_mean_distances([QUERY] * 2, [GALLERY, side(5, 2)]), r"^galleries: .* got \[9, 5\]")


@pytest.mark.parametrize("wrong", [None, DISTANCES.astype(str), DISTANCES.astype(complex), "x", object(), GRADIENT, 3])
def test_distances_that_are_none(wrong):
    refused(lambda: evaluate_distances(wrong, QUERY, GALLERY), r"^distances: must be an array \(Q, G\) of numbers, got")


def test_distances_may_be_lists_and_tensors():
    expected = evaluate_distances(DISTANCES, QUERY, GALLERY).as_dict()
    for same in (DISTANCES.tolist(), torch.tensor(DISTANCES)):
        assert evaluate_distances(same, QUERY, GALLERY).as_dict() == expected


@pytest.mark.parametrize(
    "wrong", [None, "abc", [["a"]], QUERY.features[0], QUERY.features[None], [[1, 2], [3]], {1: 2}, 3, GRADIENT]
)
def test_features_that_are_none(wrong, tmp_path):
    refused(lambda: k_reciprocal_distances(wrong, GALLERY.features), r"^query_features: must be an array \(Q, D\)")
    refused(lambda: k_reciprocal_distances(QUERY.features, wrong), r"^gallery_features: must be an array \(G, D\)")
    refused(lambda: FeatureSet(wrong, QUERY.person_ids, QUERY.camera_ids, QUERY.paths), r"^(features|person_ids)\b")
    refused(lambda: QUERY.with_features(wrong), r"^(features|person_ids)\b")
    index = Gallery.build(tmp_path / "index", GALLERY)
    refused(lambda: index.search(wrong, 2), r"^query: must be an array \(Q, D\) of numbers")


@pytest.mark.parametrize(
    ("option", "value"),
    [("k1", "a"), ("k1", 2.5), ("k1", True), ("k1", 0), ("k2", None), ("lambda_value", "x"), ("lambda_value", None)],
)
def test_options_of_re_ranking(option, value):
    refused(lambda: k_reciprocal_distances(QUERY.features, GALLERY.features, **{option: value}), f"^{option}\\b")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(({"max_rank": value}, "^max_rank: must be a whole number") for value in (0, -3, 2.5, "5", None)),
        *(({"fpr": value}, "^fpr: ") for value in (0.1, "ab", [2], [None], ["a"])),
        ({"unmatched": None}, "^unmatched: "),
        ({"own": 3}, "^own: must be two arrays"),
        ({"own": ()}, "^own: must be two arrays"),
        ({"own": ([99], [0])}, "^own: rows from 99 to 99 of 6"),
        ({"own": ([0], [-1])}, "^own: rows from -1 to -1 of 9"),
        ({"own": ([0], [0, 1])}, "^own: 1 query rows and 2 gallery rows"),
        ({"own": ([0.5], [0])}, r"^own: must be an array \(n,\) of whole numbers"),
    ],
)
def test_options_of_metrics(options, words):
    refused(lambda: evaluate_rankings(QUERY, GALLERY, **options), words)
    refused(lambda: evaluate_distances(DISTANCES, QUERY, GALLERY, **options), words)
    refused(lambda: evaluate_mean_distances([QUERY], [GALLERY], **options), words)


@pytest.mark.parametrize(
    "options",
    [
        {"index": 3, "backend": "faiss"},
        {"parameters": 3, "backend": "faiss"},
        {"device": "gpu"},
        {"device": "mps"},
        {"device": None},
    ],
)
def test_where_and_how_rankings_are_computed(options):
    refused(lambda: evaluate_rankings(QUERY, GALLERY, **options), f"^{next(iter(options))}: ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there():
    with pytest.raises(UserError, match="device: cuda was asked for, but torch sees no GPU"):
        evaluate_rankings(QUERY, GALLERY, device="cuda")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("person_ids", ids) for ids in (None, "abc", [1.5] * 6, [1] * 5, [[1]] * 6, [[1], [2, 3]], GRADIENT)),
        ("paths", ["a"] * 5),
        ("paths", None),
        ("times", ["x"] * 6),
        ("names", {1: "anna"}),
        ("model", 3),
    ],
)
def test_columns_of_a_feature_set(column, value):
    columns = {name: getattr(QUERY, name) for name in ("features", "person_ids", "camera_ids", "paths")}
    refused(lambda: FeatureSet(**columns | {column: value}), f"^{column}\\b")


@pytest.mark.parametrize("rows", [[99], [1.5], [True] * 3, "ab"])
def test_rows_that_there_are_not(rows):
    refused(lambda: QUERY.select(rows), "^rows: ")


def test_searches(tmp_path):
    index = Gallery.build(tmp_path / "index", GALLERY)
    for k in (2.5, "3", None, True):
        refused(lambda k=k: index.search(QUERY, k), "^k: must be a whole number, got")
    for only in ("x", 3, [1.5]):
        refused(lambda only=only: index.search(QUERY, 2, only=only), r"^only: must be an array \(n,\) of whole numbers")
    for ids in ("ab", [1.5], None, 3, [[0, 1]], ["0"]):
        refused(lambda ids=ids: index.images(ids), r"^ids: must be an array \(n,\) of whole numbers")
    assert index.images([]) == []
    refused(lambda: Gallery.build(tmp_path / "other", GALLERY, factory=3), "^factory: must be a text")
    refused(lambda: Gallery.build(tmp_path / "other", GALLERY, parameters=4), "^parameters: must be a text")


@pytest.mark.parametrize("path", [None, 3, ["a"]])
def test_paths_that_are_none(path):
    for call in (FeatureSet.load, QUERY.save, Gallery.open, FeatureExtractor.from_run):
        refused(lambda call=call: call(path), f"must be a path, got {type(path).__name__}")


def test_the_home_folder_stands_for_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    QUERY.save("~/kept/q.npz")
    assert (tmp_path / "kept" / "q.npz").is_file()
    assert (FeatureSet.load("~/kept/q.npz").features == QUERY.features).all()
    Gallery.build("~/my.index", ["~/kept/q.npz"])
    assert len(Gallery.open("~/my.index")) == 6
    with pytest.raises(UserError, match=f"^{re.escape(str(tmp_path))}/none.npz: the feature file not found"):
        FeatureSet.load("~/none.npz")
    monkeypatch.chdir(tmp_path)
    GALLERY.save(tmp_path / "~g.npz")
    assert len(FeatureSet.load("~g.npz")) == 9  # a file is really called so


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CUDA", ""])
def test_a_device_that_torch_does_not_know_is_named(name):
    with pytest.raises(UserError, match=rf"DEVICE: {name!r} is not one of auto, cpu, cuda, cuda:N"):
        resolve_device(name)
