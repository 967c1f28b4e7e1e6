"""Data of your own: a CSV list, and a folder in Market layout."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from reid_dml.config import load_config
from reid_dml.data.sets import load_data
from reid_dml.data.sets.custom import number_ids
from reid_dml.errors import UserError

ROWS = [
    "a.png,0,north,train",
    "b.png,anna,south,train",
    "c.png,17,north,query",
    "d.png,17,south,gallery",
    "e.png,distractor,south,gallery",
    "f.png,17,north,boxes",
]
HEADER = "path,person_id,camera_id,split"


@pytest.fixture
def load(tmp_path):
    for name in "abcdef":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((8, 4, 3), np.uint8))

    def load_from(rows, *overrides, header=HEADER):
        path = tmp_path / "list.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        config = tmp_path / "csv.yml"
        config.write_text("DATA: {NAME: csv}\n")
        return load_data(load_config(config, ["DATA.ROOT", str(path), *overrides]))

    return load_from


def test_ids_are_numbered_from_one_and_the_originals_kept(load):
    data = load(ROWS)
    assert [record.person_id for record in data.train] == [1, 3]
    assert [record.person_id for record in (*data.query, *data.boxes)] == [2, 2]
    assert [record.person_id for record in data.gallery] == [2, 0]
    assert data.original_ids == {1: "0", 2: "17", 3: "anna"}
    assert data.train[0].path.endswith("a.png")


def test_numbering_does_not_depend_on_the_order_of_the_rows():
    assert (
        number_ids(["b", "10", "9", "-1"]) == number_ids(["-1", "9", "b", "10"]) == {"-1": 1, "9": 2, "10": 3, "b": 4}
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[:2] + rows[3:], "the query split is empty"),
        (lambda rows: [*rows, "a.png,5,north,test"], "line 8: split is 'test'"),
        (lambda rows: [*rows, "a.png,,north,train"], "line 8: person_id is empty"),
        (lambda rows: [*rows, "a.png,5,,train"], "line 8: camera_id is empty"),
        (lambda rows: [*rows, "gone.png,5,north,train"], "gone.png: image not found"),
        (lambda rows: [row.replace("south", "north") for row in rows], "every query would lose all its matches"),
    ],
)
def test_a_wrong_list_is_refused_with_its_line(load, change, words):
    with pytest.raises(UserError) as refusal:
        load(change(ROWS))
    assert words in str(refusal.value)


def test_a_missing_column_is_refused(load):
    with pytest.raises(UserError, match=r"list\.csv: line 1: no column path, only name, person_id"):
        load(ROWS, header="name,person_id,camera_id,split")
    with pytest.raises(UserError, match=r"list\.csv: line 1: no column person_id"):
        load(ROWS, header="path,name,camera_id,split")


def test_without_cameras_every_match_counts(load):
    data = load([row.replace("north", "").replace("south", "") for row in ROWS], "DATA.CAMERAS", "ignore")
    assert {record.camera_id for record in (*data.query, *data.gallery)} == {-1}


def test_a_missing_list_is_refused(tmp_path):
    config = tmp_path / "csv.yml"
    config.write_text("DATA: {NAME: csv, ROOT: nowhere.csv}\n")
    with pytest.raises(UserError, match=r"nowhere\.csv: the CSV list of images not found"):
        load_data(load_config(config))


def test_an_unknown_data_set_is_refused(tmp_path):
    config = tmp_path / "other.yml"
    config.write_text("DATA: {NAME: market}\n")
    with pytest.raises(UserError, match=r"DATA\.NAME: 'market' is not one of .*did you mean 'market1501'"):
        load_data(load_config(config))


def test_persons_that_are_trained_on_and_searched_for_are_said(load):
    rows = ["a.png,anna,1,train", "b.png,ben,1,train", "c.png,anna,1,query", "d.png,anna,2,gallery"]
    with pytest.warns(UserWarning, match="1 persons are both trained on and searched for, first anna"):
        load(rows)
