"""Feature files of other tools come back as they were, and load where those tools expect them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from reid_dml.errors import UserError
from reid_dml.features import FeatureSet
from reid_dml.features.formats import read_features, write_features, write_splits
from reid_dml.features.names import Names
from reid_dml.search.gallery import Gallery

FIELDS = ("features", "person_ids", "camera_ids", "paths", "model", "times", "names")


def some(rng, count=7, width=4, model="ab12"):
    return FeatureSet(
        rng.normal(size=(count, width)).astype(np.float32),
        rng.integers(-2, 5, count),
        rng.integers(-1, 4, count),
        [f"Ordner/größe {row}.jpg" for row in range(count)],
        model,
    )


def with_times_and_names(features):
    names = Names({1: "größe \udce9", 2: "17", 77: "not there"}, {0: "hall"})
    times = ["2026-01-31T12:30:00" if row % 3 else "" for row in range(len(features))]
    return replace(features, times=np.array(times), names=names)


def assert_same(one, other):
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 1000),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from(["", "ab12"]),
    st.sampled_from(["npz", "parquet", "mat"]),
    st.booleans(),
)
def test_a_file_comes_back_as_it_was(tmp_path_factory, seed, count, width, model, kind, named):
    path = tmp_path_factory.mktemp("f") / f"f.{kind}"
    before = some(np.random.default_rng(seed), count, width, model)
    before = with_times_and_names(before) if named else before
    write_features(before, path)
    assert_same(read_features(path), before)


def test_no_images_come_back_from_parquet(rng, tmp_path):
    before = some(rng).select(np.array([], int))
    write_features(before, tmp_path / "f.parquet")
    assert_same(read_features(tmp_path / "f.parquet"), before)


def test_a_mat_file_is_what_matlab_evaluators_read(rng, tmp_path):
    one = some(rng)
    write_features(one, tmp_path / "one.mat")
    content = loadmat(tmp_path / "one.mat")
    assert content["feature"].shape == (7, 4)
    assert content["label"].shape == content["cam"].shape == (1, 7)
    query, gallery = some(rng, 3), with_times_and_names(some(rng, 5))
    write_splits({"query": query, "gallery": gallery}, tmp_path / "two.mat")
    content = loadmat(tmp_path / "two.mat")
    np.testing.assert_array_equal(content["gallery_f"], gallery.features)
    np.testing.assert_array_equal(content["query_label"][0], query.person_ids)  # as baseline evaluators index it
    np.testing.assert_array_equal(content["gallery_cam"][0], gallery.camera_ids)
    assert_same(read_features(tmp_path / "two.mat", "gallery"), gallery)


def test_other_people_s_files_are_read(rng, tmp_path):
    features = some(rng).features.astype(float)
    labels = np.arange(7.0)
    savemat(tmp_path / "columns.mat", {"feature": features.T, "label": labels})
    found = read_features(tmp_path / "columns.mat")
    np.testing.assert_array_equal(found.features, features.astype(np.float32))
    assert (found.person_ids.tolist(), set(found.camera_ids)) == (list(range(7)), {-1})
    assert (found.paths[6], found.model) == ("row 6", "")
    lists = pa.array(features.tolist())  # of any length, as data frames write them
    pq.write_table(pa.table({"feature": lists, "person_id": labels, "camera_id": labels}), tmp_path / "f.parquet")
    np.testing.assert_array_equal(read_features(tmp_path / "f.parquet").features, features.astype(np.float32))
    times = pa.array([datetime(2026, 1, 31, 12, 30), *[None] * 6])
    columns = {"feature": lists, "person_id": labels, "camera_id": labels, "time": times}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert read_features(tmp_path / "t.parquet").times.tolist() == ["2026-01-31T12:30:00", *[""] * 6]
    times = pa.array([1_769_862_600_000_000_001, *[None] * 6], pa.timestamp("ns"))  # as pandas writes them
    columns |= {"time": times, "path": [b"a.jpg"] * 7}
    pq.write_table(pa.table(columns), tmp_path / "n.parquet")
    found = read_features(tmp_path / "n.parquet")
    assert found.times.tolist() == ["2026-01-31T12:30:00", *[""] * 6]
    assert found.paths.tolist() == ["a.jpg"] * 7


def test_files_that_do_not_fit_are_refused_by_name(rng, tmp_path):
    ids, wide = np.arange(7), some(rng).features
    good = {"feature": list(wide), "person_id": ids, "camera_id": ids}
    tables = {
        "nocolumn": {"feature": list(wide), "person_id": ids},
        "ragged": {**good, "feature": [wide[0][: 1 + row % 2] for row in range(7)]},
        "null": {**good, "person_id": pa.array([None, *range(6)])},
        "numbers": {**good, "feature": ids},
        "ints": {**good, "feature": [[1, 2]] * 7},
        "words": {**good, "person_id": list("abcdefg")},
        "half": {**good, "camera_id": ids + 0.5},
        "nan": {**good, "feature": [[np.nan, 1.0]] * 7},
        "time": {**good, "time": ["2026-01-31", *["noon"] * 6]},
        "far": {**good, "time": pa.array([4 * 10**17] * 7, pa.timestamp("us"))},
        "farther": {**good, "time": pa.array([10**15] * 7, pa.timestamp("ms"))},
        "zone": {**good, "time": pa.array([0] * 7, pa.timestamp("us", "Mars/Phobos"))},
        "struct": {**good, "feature": [{"x": 1.0}] * 7},
        "bytes": {**good, "path": [b"\xff"] * 7},
        "lists": {**good, "path": [["a"]] * 7},
        "none": {"feature": pa.array([], pa.list_(pa.float32())), "person_id": ids[:0], "camera_id": ids[:0]},
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    np.savez(tmp_path / "names.npz", features=wide, person_ids=ids, camera_ids=ids, names='{"1": "anna"}')
    savemat(tmp_path / "nolabel.mat", {"feature": wide})
    savemat(tmp_path / "length.mat", {"feature": wide, "label": ids[:5]})
    savemat(tmp_path / "sets.mat", {"gallery_f": wide, "gallery_label": ids})
    for name in ("junk.mat", "junk.parquet", "f.csv"):
        (tmp_path / name).write_bytes(b"junk" * 100)
    for name, split, words in (
        ("nocolumn.parquet", "", "no column camera_id"),
        ("ragged.parquet", "", "2 different widths"),
        ("null.parquet", "", "column person_id has empty entries"),
        ("numbers.parquet", "", "column feature is int64, not a list"),
        ("ints.parquet", "", "features must be floating-point numbers, got int64"),
        ("words.parquet", "", "person ids must be whole numbers"),
        ("half.parquet", "", "camera ids must be whole numbers"),
        ("nan.parquet", "", "7 of 7 features are NaN or infinite"),
        ("time.parquet", "", "times must be ISO 8601, row 1 is 'noon'"),
        ("far.parquet", "", r"column time is timestamp\[us\], but not all of years 1 to 9999"),
        ("farther.parquet", "", r"column time is timestamp\[ms\], but not all of years 1 to 9999"),
        ("zone.parquet", "", r"column time is timestamp\[us, tz=Mars/Phobos\], but not all .* in a known time zone"),
        ("struct.parquet", "", "column feature is struct<x: double>, not a list"),
        ("bytes.parquet", "", "column path is binary, not texts"),
        ("lists.parquet", "", "column path is list<.*>, not texts"),
        ("none.parquet", "", "holds no images, and nothing says how wide"),
        ("names.npz", "", 'names must be JSON such as {"persons"'),
        ("nan.parquet", "query", "--split query: holds one set of features only"),
        ("nolabel.mat", "", "has no variable label"),
        ("length.mat", "", "person_ids must be \\(7,\\), got \\(5,\\)"),
        ("sets.mat", "", "holds the sets gallery; make a file of one with .* --split gallery"),
        ("sets.mat", "query", "--split query: has no such set \\(query_f\\); it has gallery"),
        ("junk.mat", "", "not a whole .mat file"),
        ("junk.parquet", "", "not a whole Parquet file"),
        ("f.csv", "", "name ends in .npz, .parquet or .mat"),
        ("gone.mat", "", "the feature file not found"),
    ):
        with pytest.raises(UserError, match=words) as refusal:
            read_features(tmp_path / name, split)
        assert name in str(refusal.value)
    with pytest.raises(UserError, match=r"only a \.mat file holds"):
        write_splits({"query": some(rng)}, tmp_path / "x.npz")


def test_padded_paths_of_a_mat_file_are_stripped_and_case_of_its_name_does_not_matter(rng, tmp_path):
    paths = ["a.jpg", "folder/b c.jpg", "d.jpg"]
    savemat(tmp_path / "F.MAT", {"feature": np.eye(3, dtype=np.float32), "label": [1, 2, 3], "path": paths})
    assert read_features(tmp_path / "F.MAT").paths.tolist() == paths
    with pytest.raises(UserError, match=r"F\.MAT: not a \.npz file; read it with .*read_features"):
        FeatureSet.load(tmp_path / "F.MAT")


def test_paths_that_end_in_blanks_come_back_and_what_a_mat_file_cannot_hold_is_refused(rng, tmp_path):
    before = replace(some(rng, 3), paths=["a.jpg ", " b.jpg", "  "])
    for kind in ("npz", "parquet", "mat"):
        write_features(before, tmp_path / f"f.{kind}")
        assert_same(read_features(tmp_path / f"f.{kind}"), before)
    with pytest.raises(UserError, match=r"path 'a\\x00b': a \.mat file holds no zero characters"):
        write_features(replace(before, paths=["c", "a\0b", "d"]), tmp_path / "f.mat")
    assert_same(read_features(tmp_path / "f.mat"), before)


def test_a_npz_file_may_have_any_name(rng, tmp_path):
    before = some(rng)
    before.save(tmp_path / "f.features")
    assert_same(read_features(tmp_path / "f.features"), before)


def test_scoring_calibrating_and_searching_take_every_format(rng, tmp_path, command):
    persons, cameras = np.repeat(np.arange(1, 6), 4), np.tile([1, 1, 2, 2], 5)
    values = (rng.normal(size=(5, 8))[persons - 1] + 0.3 * rng.normal(size=(20, 8))).astype(np.float32)
    features = FeatureSet(values, persons, cameras, [f"{row}.jpg" for row in range(20)], "ab12")
    answers = {}
    for kind in ("npz", "parquet", "mat"):
        file, index = tmp_path / f"f.{kind}", tmp_path / f"{kind}.index"
        write_features(features, file)
        scored = command("score_features", "--query", file, "--gallery", file, "--json", tmp_path / "s.json")
        rate = command("calibrate", "--features", file, "--false-accept-rate", 0.2)
        built = command("build_index", "--index", index, "--features", file)
        found = command("search_gallery", "--index", index, "--query", file, "--k", 2, "--json", tmp_path / "a.json")
        assert [result.code for result in (scored, rate, built, found)] == [0] * 4, (scored.err, built.err, found.err)
        answer = json.loads((tmp_path / "a.json").read_text())["answers"]
        answers[kind] = ((tmp_path / "s.json").read_text(), rate.out, answer)
        assert len(Gallery.build(tmp_path / f"{kind}.gallery", [file])) == 20
    assert answers["npz"] == answers["parquet"] == answers["mat"]
