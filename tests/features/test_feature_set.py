"""Feature sets and their files, ensembles and multi-query pooling."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from reid_dml.errors import UserError
from reid_dml.features import FeatureSet
from reid_dml.features.ensemble import concatenate_features
from reid_dml.features.feature_set import normalize
from reid_dml.ranking.multi_query import pool_multi_query


def random_set(rng, count=20, width=6, persons=4):
    return FeatureSet(
        features=rng.normal(size=(count, width)).astype(np.float32),
        person_ids=rng.integers(-1, persons, count),
        camera_ids=rng.integers(1, 4, count),
        paths=[f"images/{i:03d}.jpg" for i in range(count)],
    )


class TestFile:
    def test_it_comes_back_as_it_was_without_pickle(self, rng, tmp_path):
        before = random_set(rng)
        before.save(tmp_path / "f.npz")
        after = FeatureSet.load(tmp_path / "f.npz")
        for name in ("features", "person_ids", "camera_ids", "paths"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
            assert {name: file[name].dtype.kind for name in file.files} == {
                "features": "f", "person_ids": "i", "camera_ids": "i", "paths": "U",
            }  # fmt: skip

    @pytest.mark.parametrize("kind", [np.float64, np.float16])
    def test_other_float_types_become_float32_and_absent_paths_row_numbers(self, rng, tmp_path, kind):
        before = random_set(rng)
        np.savez(
            tmp_path / "f.npz",
            features=before.features.astype(kind),
            person_ids=before.person_ids,
            camera_ids=before.camera_ids,
        )
        after = FeatureSet.load(tmp_path / "f.npz")
        np.testing.assert_array_equal(after.features, before.features.astype(kind).astype(np.float32))
        assert after.features.dtype == np.float32
        assert (after.paths[0], after.paths[19], after.model) == ("row 0", "row 19", "")

    def test_whole_numbers_of_a_float_type_are_ids(self, rng, tmp_path):
        before = random_set(rng)
        ids = {"person_ids": before.person_ids.astype(float), "camera_ids": before.camera_ids.astype(np.float32)}
        np.savez(tmp_path / "f.npz", features=before.features, **ids)
        after = FeatureSet.load(tmp_path / "f.npz")
        np.testing.assert_array_equal(after.person_ids, before.person_ids)
        np.testing.assert_array_equal(after.camera_ids, before.camera_ids)
        assert after.person_ids.dtype == np.int64

    def test_what_are_no_records_is_refused(self, rng):
        features = random_set(rng).features
        for records, got in ((None, "NoneType"), ([1] * 20, "one of int"), ("a" * 20, "str")):
            with pytest.raises(ValueError, match=f"records: must be a list of ImageRecord, got {got}"):
                FeatureSet.of(features, records)

    def test_names_of_any_bytes_and_any_characters_come_back(self, rng, tmp_path):
        paths = np.array([f"\udc80\udcff{row} \uffff \U0001f600 größe.jpg" for row in range(20)], ">U40")
        replace(random_set(rng), paths=paths).save(tmp_path / "f.npz")
        np.testing.assert_array_equal(FeatureSet.load(tmp_path / "f.npz").paths, paths)

    def test_the_model_stays_with_its_features(self, rng, tmp_path):
        before = replace(random_set(rng), model="ab12")
        before.save(tmp_path / "f.npz")
        after = FeatureSet.load(tmp_path / "f.npz")
        assert after.model == after.select(np.arange(3)).model == after.with_features(after.features).model == "ab12"

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda a: a.pop("camera_ids"), "lacks camera_ids: int64"),
            (lambda a: a.update(features=(10 * a["features"]).astype(np.int8)), "features must be float32, got int8"),
            (lambda a: a.update(features=np.full((20, 6), 1e300)), "20 of 20 features are NaN or infinite"),
            (lambda a: a.update(features=np.float32(3)), "features must be \\(N, D\\)"),
            (lambda a: a.update(features=a["features"][0]), "features must be \\(N, D\\)"),
            (lambda a: a.update(person_ids=a["person_ids"][:-1]), "person_ids must be \\(20,\\), got \\(19,\\)"),
            (lambda a: a.update(person_ids=a["person_ids"] + 0.5), "person_ids must be whole numbers up to 2"),
            (lambda a: a.update(camera_ids=a["camera_ids"].astype(str)), "camera_ids must be whole numbers, got <U21"),
            (lambda a: a["features"].__setitem__((3, 1), np.nan), "1 of 20 features are NaN or infinite, first rows 3"),
            (lambda a: a.update(paths=np.array([object()] * 20)), "pickled objects"),
            (lambda a: a.update(times=np.array(["0001-01-01T00:00+14:00"] * 20)), "times must be ISO 8601, row 0 is"),
            (lambda a: a["paths"].__setitem__(3, "\ud800.jpg"), r"paths, row 3: U\+D800 is no character"),
            (lambda a: a.update(model=np.array("\udc80")), r"model: U\+DC80 is no character"),
            (lambda a: a["paths"].view(np.uint32).__setitem__(-1, 0x7FFFFFFF), r"paths, row 19: U\+7FFFFFFF is no"),
            (lambda a: a.update(times=np.array(["\udc00"] * 20)), r"times, row 0: U\+DC00 is no character"),
        ],
    )
    def test_a_wrong_file_is_refused_by_name(self, rng, tmp_path, change, words):
        features = random_set(rng)
        arrays = {name: getattr(features, name).copy() for name in ("features", "person_ids", "camera_ids", "paths")}
        change(arrays)
        np.savez(tmp_path / "f.npz", **arrays)
        with pytest.raises(UserError, match=rf"f\.npz: .*{words}"):
            FeatureSet.load(tmp_path / "f.npz")

    def test_a_truncated_foreign_or_missing_file_is_refused_by_name(self, rng, tmp_path):
        random_set(rng).save(tmp_path / "f.npz")
        data = (tmp_path / "f.npz").read_bytes()
        (tmp_path / "f.npz").write_bytes(data[: len(data) // 2])
        (tmp_path / "text.npz").write_text("hello")
        np.save(tmp_path / "array.npy", np.zeros(3))
        torch.save({"features": torch.zeros(3, 2)}, tmp_path / "torch.pt")
        with zipfile.ZipFile(tmp_path / "texts.npz", "w") as file:
            for name in ("features", "person_ids", "camera_ids"):
                file.writestr(name, "text")
        for name, words in (
            ("f.npz", "not a whole .npz file"),
            ("text.npz", "text.npz: not a .npz file"),
            ("array.npy", "a single array"),
            ("texts.npz", "features is no array"),
            ("torch.pt", "a torch file; write its arrays with numpy.savez"),
            ("gone.npz", "not found"),
        ):
            with pytest.raises(UserError, match=words) as refusal:
                FeatureSet.load(tmp_path / name)
            assert name in str(refusal.value)


class TestEnsemble:
    def test_normalised_members_have_the_same_say(self, rng):
        first, second = (rng.normal(size=(5, 4)).astype(np.float32) for _ in range(2))
        joined = concatenate_features([first, 100 * second])
        np.testing.assert_allclose(joined, np.hstack([normalize(first), normalize(second)]) / np.sqrt(2), atol=1e-6)
        raw = concatenate_features([first, 100 * second], how="raw")
        np.testing.assert_allclose(raw, normalize(np.hstack([first, 100 * second])), atol=1e-6)

    def test_its_similarity_is_the_members_mean_similarity(self, rng):
        members = [rng.normal(size=(5, width)).astype(np.float32) for width in (3, 7)]
        joined = concatenate_features(members)
        similarities = [normalize(member) @ normalize(member).T for member in members]
        np.testing.assert_allclose(joined @ joined.T, np.mean(similarities, 0), atol=1e-6)

    def test_wrong_arguments_are_refused(self, rng):
        with pytest.raises(ValueError, match="different numbers of rows"):
            concatenate_features([np.zeros((2, 3), np.float32), np.zeros((3, 3), np.float32)])
        with pytest.raises(ValueError, match="how"):
            concatenate_features([np.zeros((2, 3), np.float32)], how="sum")


class TestMultiQuery:
    @pytest.mark.parametrize("how", ["mean", "max"])
    def test_it_pools_the_boxes_of_the_same_person_and_camera(self, rng, how):
        boxes = random_set(rng, 60)
        query = boxes.select(np.flatnonzero(boxes.person_ids > 0)[:10])
        pooled = pool_multi_query(query, boxes, how=how)
        for row in range(10):
            same = (boxes.person_ids == query.person_ids[row]) & (boxes.camera_ids == query.camera_ids[row])
            expected = getattr(boxes.features[same], how)(axis=0)
            np.testing.assert_allclose(pooled.features[row], expected, atol=1e-6)
        np.testing.assert_array_equal(pooled.paths, query.paths)

    def test_the_mean_of_large_features_stays_in_float32(self, rng):
        boxes = random_set(rng)
        boxes = replace(
            boxes, features=np.full_like(boxes.features, 2e38), person_ids=np.ones(20, int), camera_ids=np.ones(20, int)
        )
        np.testing.assert_array_equal(pool_multi_query(boxes, boxes).features, boxes.features)

    def test_a_query_without_boxes_keeps_its_feature_and_is_counted(self, rng):
        query, boxes = random_set(rng), random_set(rng)
        boxes = boxes.select(boxes.camera_ids != query.camera_ids[0])
        with pytest.warns(UserWarning, match=r"of 20 queries have no box"):
            pooled = pool_multi_query(query, boxes)
        np.testing.assert_array_equal(pooled.features[0], query.features[0])

    @pytest.mark.parametrize("person", [-2, -1, 0])
    def test_boxes_of_nobody_known_are_not_pooled(self, rng, person):
        # They may show as many persons as there are boxes.
        boxes = replace(random_set(rng), person_ids=np.repeat([person, 5], 10), camera_ids=np.full(20, 1))
        with pytest.warns(UserWarning, match="10 of 20 queries"):
            pooled = pool_multi_query(boxes, boxes)
        np.testing.assert_array_equal(pooled.features[:10], boxes.features[:10])
        np.testing.assert_allclose(pooled.features[10:], np.tile(boxes.features[10:].mean(0), (10, 1)), atol=1e-6)

    def test_boxes_of_unknown_camera_are_not_pooled(self, rng):
        # They would hold the very images that are to be found.
        boxes = replace(random_set(rng), camera_ids=np.full(20, -1))
        with pytest.warns(UserWarning, match="20 of 20 queries"):
            pooled = pool_multi_query(boxes, boxes)
        np.testing.assert_array_equal(pooled.features, boxes.features)

    def test_wrong_arguments_are_refused(self, rng):
        with pytest.raises(ValueError, match="how"):
            pool_multi_query(random_set(rng), random_set(rng), how="median")
        with pytest.raises(ValueError, match="boxes: features are 5-d, those of query are 6-d"):
            pool_multi_query(random_set(rng), random_set(rng, width=5))
