"""Names of persons and cameras on their way from labels through features to an index and what is shown of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reid_dml.data.labels import LabelledImage, lasting_id, number_ids, records_of
from reid_dml.errors import UserError
from reid_dml.features import FeatureSet
from reid_dml.features.formats import write_features
from reid_dml.features.names import Names
from reid_dml.ranking.ranked_list import RankedList, exact_lists, search_lists
from reid_dml.ranking.scoring import score_files
from reid_dml.search.filters import ImageFilter, parse_moment
from reid_dml.search.gallery import Gallery

IMAGES = [
    LabelledImage("a.jpg", "anna", "hall", time="2026-01-31T12:30:00"),
    LabelledImage("b.jpg", "17", "2", time="2026-02-01T08:00:00"),
    LabelledImage("c.jpg", "0009", "hall"),
    LabelledImage("d.jpg", "junk", "", time="2026-02-02"),
]


@pytest.fixture
def features():
    return FeatureSet.of(np.eye(4, dtype=np.float32), records_of(IMAGES)[0], "m" * 32)


def test_names_are_kept_where_the_id_does_not_say_them(features):
    assert features.names == Names({lasting_id("anna"): "anna"}, {lasting_id("hall"): "hall"})
    assert features.select(np.array([1, 3])).names == Names()
    assert features.records() == records_of(IMAGES)[0]
    numbered, _ = records_of(IMAGES, numbering=number_ids)
    assert FeatureSet.of(features.features, numbered).names == Names(
        {1: "0009", 2: "17", 3: "anna"}, {1: "2", 2: "hall"}
    )


@pytest.mark.parametrize("kind", ["npz", "parquet", "mat"])
def test_an_index_of_a_feature_file_knows_names_and_times(features, tmp_path, kind):
    write_features(features, tmp_path / f"f.{kind}")
    Gallery.build(tmp_path / "i", [tmp_path / f"f.{kind}"])
    gallery = Gallery.open(tmp_path / "i")
    assert gallery.images(range(4)) == features.records()
    only = ImageFilter(cameras=["hall"], until=parse_moment("2026-01-31", end=True))
    assert only.ids(gallery.table, "i", gallery.names).tolist() == [0]
    assert ImageFilter(not_cameras=["hall", "2"]).ids(gallery.table, "i", gallery.names).tolist() == [3]
    with pytest.raises(UserError, match="i: no camera is called 'hal'; those with names are hall"):
        ImageFilter(cameras=["hal"]).ids(gallery.table, "i", gallery.names)
    gallery.remove(["a.jpg"])
    assert gallery.names == Gallery.open(tmp_path / "i").names == Names({}, {lasting_id("hall"): "hall"})
    gallery.add(replace(features.select(np.array([0])), names=Names({}, {})))
    assert gallery.names == Names({}, {lasting_id("hall"): "hall"})


def test_lists_show_names(features, tmp_path):
    for lists in (
        exact_lists(features.select(np.array([1])), features.select(np.array([0])), 1),
        search_lists(Gallery.build(tmp_path / "i", features), features.select(np.array([0])), 1),
    ):
        assert lists[0].rows("similarity")[1][:3] == ["  1  a.jpg", "anna", "hall"]
        found = lists[0].as_dict()["images"][0]
        assert (found["person"], found["camera"], found["time"]) == ("anna", "hall", "2026-01-31T12:30:00")
        assert found["person_id"] == lasting_id("anna")
    query = features.records()[0]._replace(person="an\x1bna")
    assert RankedList(query, [query], [1.0]).rows("")[1][1] == "an\\x1bna"


def test_numbers_that_were_given_apart_are_refused(features, tmp_path):
    other = replace(features, paths=["e", "f", "g", "h"], person_ids=[3, 17, 9, -1], names=Names({3: "anna"}))
    third = replace(other, paths=["i", "j", "k", "l"], names=Names({3: "berta"}))
    for one, two, words in (
        (features, other, rf"person 'anna' is {lasting_id('anna')}, but 3 in"),
        (other, third, "person 3 is 'anna', but 'berta' in"),
    ):
        for name, side in (("q.npz", one), ("g.npz", two)):
            side.save(tmp_path / name)
        with pytest.raises(UserError, match=words):
            Gallery.build(tmp_path / "i", [tmp_path / "q.npz", tmp_path / "g.npz"], overwrite=True)
        with pytest.raises(UserError, match=rf"q\.npz: {words} .*g\.npz; number them in one way"):
            score_files({"query": [tmp_path / "q.npz"], "gallery": [tmp_path / "g.npz"]})


def test_one_name_for_two_ids_is_refused(features):
    with pytest.raises(ValueError, match="names: cameras 1 and 2 are both called 'hall'"):
        replace(features, names=Names({}, {1: "hall", 2: "hall"}))
