"""Ranked lists: exact ones by the protocol's rules, and those of a search in an index."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from reid_dml.data.records import ImageRecord
from reid_dml.features import FeatureSet
from reid_dml.features.feature_set import normalize
from reid_dml.ranking.protocol import is_left_out
from reid_dml.ranking.ranked_list import RankedList, exact_lists, search_lists
from reid_dml.search import Gallery


def random_set(rng, count, persons=4):
    return FeatureSet(
        rng.normal(size=(count, 6)).astype(np.float32),
        rng.integers(-1, persons, count),
        rng.integers(-1, 3, count),
        [f"images/{row:03d}.jpg" for row in range(count)],
    )


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_exact_lists_pass_over_what_does_not_count(rng, metric):
    query, gallery = random_set(rng, 30), random_set(rng, 200, persons=3)
    if metric == "cosine":
        scores = normalize(query.features) @ normalize(gallery.features).T
    else:
        scores = np.linalg.norm(query.features[:, None] - gallery.features[None], axis=2)
    lists = exact_lists(query, gallery, 25, metric=metric)
    for row, found in enumerate(lists):
        sides = query.person_ids[row], query.camera_ids[row], gallery.person_ids, gallery.camera_ids
        hidden = is_left_out(*sides, np.zeros(200, bool))
        order = np.argsort(-scores[row] if metric == "cosine" else scores[row])
        expected = [g for g in order if not hidden[g]][:25]
        assert found.query == ImageRecord(query.paths[row], query.person_ids[row], query.camera_ids[row])
        assert [image.path for image in found.images] == gallery.paths[expected].tolist()
        np.testing.assert_allclose(found.scores, scores[row, expected], atol=1e-5)
        assert found.ids is None


def test_a_list_is_as_long_as_there_are_images_that_count(rng):
    query = FeatureSet(np.ones((1, 2), np.float32), [1], [1], ["q"])
    gallery = FeatureSet(rng.normal(size=(50, 2)).astype(np.float32), [1] * 47 + [-1, 2, 1], [1] * 49 + [2], ["g"] * 50)
    assert len(exact_lists(query, gallery, 10)[0].images) == 2
    assert exact_lists(query, gallery.select(gallery.person_ids == -1), 10)[0].images == []


def test_a_query_without_a_label_passes_over_junk_only(rng):
    query = FeatureSet(np.ones((1, 2), np.float32), [-2], [1], ["q"])
    gallery = FeatureSet(rng.normal(size=(4, 2)).astype(np.float32), [-2, -1, 0, 3], [1] * 4, ["a", "junk", "b", "c"])
    assert {image.path for image in exact_lists(query, gallery, 4)[0].images} == {"a", "b", "c"}


def test_junk_of_any_size_changes_no_list(rng):
    query, gallery = random_set(rng, 5), random_set(rng, 40)
    gallery.person_ids[7] = -1
    for metric in ("cosine", "euclidean"):
        before = exact_lists(query, gallery, 10, metric=metric)
        for size in (0, 1e30):
            gallery.features[7] = size
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert exact_lists(query, gallery, 10, metric=metric) == before


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_lists_of_a_search_hold_ids_and_keep_to_the_threshold(rng, tmp_path, metric):
    query, images = random_set(rng, 3), random_set(rng, 20)
    gallery = Gallery.build(tmp_path / "i", images, metric=metric)
    ids, scores = gallery.search(query, 20)
    lists = search_lists(gallery, query, 20)
    for row, found in enumerate(lists):
        assert found.ids == ids[row].tolist()
        assert [image.path for image in found.images] == images.paths[ids[row]].tolist()
        np.testing.assert_array_equal(np.float32(found.scores), scores[row])
    threshold = float(scores[0, 4])
    within = search_lists(gallery, query, 20, threshold=threshold)
    assert within[0].images == lists[0].images[:5]
    near = scores >= threshold if metric == "cosine" else scores <= threshold
    assert [len(found.images) for found in within] == near.sum(1).tolist()


def test_whether_an_image_is_correct_may_be_unknown():
    images = [ImageRecord("g", person, 1) for person in (3, 4, 0, -1, -2)]
    found = RankedList(ImageRecord("q", 3, 1), images, [0.5] * 5)
    assert found.correct == [True, False, False, None, None]
    for person in (0, -1, -2):
        assert RankedList(ImageRecord("q", person, 1), images, [0.5] * 5).correct == [None] * 5


def test_json_and_table_hold_what_is_known_and_nothing_else():
    query, image = ImageRecord("q.jpg", 3, -1, np.zeros((1, 1, 3), np.uint8)), ImageRecord("g.jpg", 0, 2)
    found = RankedList(query, [image], [0.25], [7])
    assert json.loads(json.dumps(found.as_dict())) == {
        "query": {"path": "q.jpg", "person_id": 3, "camera_id": -1},
        "images": [{"rank": 1, "score": 0.25, "id": 7, "path": "g.jpg", "person_id": 0, "camera_id": 2}],
    }
    assert "id" not in RankedList(query, [image], [0.25]).as_dict()["images"][0]
    assert found.rows("similarity")[1] == ["  1  g.jpg", "distractor", "2", "0.2500"]
