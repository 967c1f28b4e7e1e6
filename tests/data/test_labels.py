"""Labels that contradict each other, and what stands for no person."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from reid_dml.config import load_config
from reid_dml.data.image_paths import image_records
from reid_dml.data.labels import lasting_id
from reid_dml.data.sets import load_data
from reid_dml.errors import UserError

ROWS = [
    ["1.png", "1", "1", "train"],
    ["2.png", "2", "1", "train"],
    ["3.png", "3", "1", "query"],
    ["4.png", "3", "2", "gallery"],
    ["5.png", "4", "2", "gallery"],
]


@pytest.fixture
def load(tmp_path):
    for number in range(1, 9):
        image = np.full((8, 4, 3), number, np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    os.symlink("1.png", tmp_path / "link.png")

    def load_from(rows, *options):
        lines = ["path,person_id,camera_id,split", *(",".join(row) for row in rows)]
        (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
        (tmp_path / "csv.yml").write_text("DATA: {NAME: csv}\n")
        return load_data(load_config(tmp_path / "csv.yml", ["DATA.ROOT", str(tmp_path / "list.csv"), *options]))

    return load_from


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (["6.png", "0001", "1", "train"], ["line 7", "'0001'", "'1' at", "line 2"]),
        (["6.png", "2.0", "1", "train"], ["line 7", "'2.0'", "'2' at", "line 3"]),
        (["6.png", "5", "01", "train"], ["line 7: camera id '01'", "'1' at"]),
        (["1.png", "2", "1", "train"], ["line 7", "1.png is an image of person '2'", "'1' at", "line 2"]),
        (["link.png", "2", "1", "query"], ["line 7", "of person '2'", "line 2"]),
        (["./1.png", "1", "2", "train"], ["line 7", "from camera '2'", "'1' at"]),
    ],
)
def test_contradictions_are_named_with_both_lines(load, row, words):
    with pytest.raises(UserError) as refusal:
        load([*ROWS, row])
    assert all(word in str(refusal.value) for word in words)


def test_blanks_are_no_other_spelling(load):
    assert load([*ROWS, ["6.png", " 1 ", "1", "train"]]).class_ids == [1, 2]


def test_words_that_differ_in_capitals_are_warned_of(load):
    with pytest.warns(UserWarning, match="'anna' and 'Anna' at .*line 7 differ in capitals only"):
        load([*ROWS, ["6.png", "Anna", "1", "train"], ["7.png", "anna", "1", "train"]])


def test_an_image_given_twice_is_read_once(load):
    with pytest.warns(UserWarning, match=r"line 7: .*link\.png is given at .*line 2 already"):
        assert len(load([*ROWS, ["link.png", "1", "1", "train"]]).train) == 2


def test_an_image_in_training_and_test_is_warned_of(load):
    with pytest.warns(UserWarning, match="1 images are in train and in gallery too"):
        load([*ROWS, ["1.png", "1", "1", "gallery"]])


def test_junk_is_neither_trained_nor_searched_and_a_camera_may_be_unknown(load):
    rows = [*ROWS, ["6.png", "-1", "1", "train"], ["7.png", "-1", "2", "gallery"], ["8.png", "-1", "1", "query"]]
    data = load([*rows[:3], ["4.png", "3", "-1", "gallery"], *rows[4:]])
    assert (len(data.train), len(data.query), len(data.gallery)) == (2, 1, 2)
    assert data.gallery[0].camera_id == -1
    assert data.class_names == ["1", "2"]


def test_a_query_that_is_in_the_gallery_is_said(load):
    rows = [*ROWS, ["3.png", "3", "", "gallery"], ["6.png", "3", "", "gallery"]]
    with pytest.warns(UserWarning, match="1 images are in query and in gallery: a query's own image is left out"):
        load(rows, "DATA.CAMERAS", "ignore")


def test_no_cameras_at_all_are_ignored(load):
    data = load([[path, person, "", split] for path, person, _, split in ROWS])
    assert {record.camera_id for record in (*data.query, *data.gallery)} == {-1}


def test_lasting_ids_do_not_depend_on_the_others():
    assert lasting_id("0017") == 17
    assert lasting_id("anna") == lasting_id("anna") != lasting_id("berta")
    assert all(2**40 <= lasting_id(text) < 2**53 for text in ("anna", "0", "-5", str(2**64)))


def test_a_list_without_images_to_train_on(load):
    with pytest.raises(UserError, match=r"train split is empty; only a test with TEST\.TRAIN_ACCURACY False needs no"):
        load(ROWS[2:])


def test_what_a_list_leaves_empty_is_said(tmp_path, caplog):
    for number in (1, 2, 3):
        (tmp_path / f"{number}.png").write_bytes(b"x")
    (tmp_path / "list.csv").write_text("path,person,camera\n1.png,1,1\n2.png,,2\n3.png,2,\n")
    with caplog.at_level("INFO"):
        assert [record.person_id for record in image_records([tmp_path / "list.csv"])] == [1, -2, 2]
    assert "list.csv: line 3: no person id, which counts as unknown (1 of 3 images)" in caplog.text
    assert "list.csv: line 4: no camera id, which counts as unknown (1 of 3 images)" in caplog.text


@pytest.mark.parametrize("name", ["list.xlsx", "list.ods", "list.xls"])
def test_a_spreadsheet_is_no_broken_image(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04" if name != "list.xls" else b"\xd0\xcf\x11\xe0")
    with pytest.raises(UserError, match="a spreadsheet's own format, not a text; save it there as CSV UTF-8"):
        image_records([tmp_path / name])


def test_records_of_a_list(load, tmp_path):
    load(ROWS)
    records = image_records([tmp_path / "list.csv"])
    assert [(os.path.basename(r.path), r.person_id, r.camera_id) for r in records[:3]] == [
        ("1.png", 1, 1),
        ("2.png", 2, 1),
        ("3.png", 3, 1),
    ]
    assert {record.camera_id for record in image_records([tmp_path / "list.csv"], cameras="ignore")} == {-1}
