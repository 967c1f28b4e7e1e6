"""Photos in a folder per person."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

from reid_dml.config import load_config
from reid_dml.data.image_paths import image_records
from reid_dml.data.sets import load_data
from reid_dml.errors import UserError


def picture(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 4, 3), number, np.uint8))


@pytest.fixture
def load(tmp_path):
    def load_from(*options):
        (tmp_path / "own.yml").write_text("DATA: {NAME: folder_per_person}\n")
        return load_data(load_config(tmp_path / "own.yml", ["DATA.ROOT", str(tmp_path / "photos"), *options]))

    return load_from


@pytest.fixture
def photos(tmp_path):
    for person in range(10):
        for camera in ("door", "yard"):
            for image in range(2):
                picture(tmp_path / "photos" / f"p{person}" / camera / f"{image}.png", person)
    return tmp_path / "photos"


def persons(data, records):
    return {data.original_ids[record.person_id] for record in records}


def test_splits_are_drawn_apart_and_every_query_has_a_match(photos, load):
    data = load()
    assert len(persons(data, data.query)) == 3
    assert len(data.train) == 7 * 4
    assert persons(data, data.query) == persons(data, data.gallery)
    assert not persons(data, data.train) & persons(data, data.query)
    assert len(data.query) == len(data.gallery) == 3 * 2
    assert {record.camera_id for record in data.query} == {1, 2}


def test_draws_are_nested_and_follow_from_the_seed(photos, load):
    few, many = load("OWN.TEST_PERSONS", "2"), load("OWN.TEST_PERSONS", "5")
    assert persons(few, few.query) < persons(many, many.query)
    assert load().query == load().query != load("OWN.SEED", "1").query


def test_no_test_persons_trains_on_all(photos, load):
    data = load("OWN.TEST_SHARE", "0")
    assert len(data.train) == 40
    assert not data.query
    assert not data.gallery


@pytest.mark.parametrize("options", [("OWN.TEST_SHARE", "0.01"), ("DATA.CAMERAS", "required", "OWN.TEST_SHARE", "0.3")])
def test_a_share_that_draws_nobody_is_said(tmp_path, photos, load, options):
    if "0.3" in options:  # each person in one image: none could find another
        for image in (*photos.glob("*/yard/*"), *photos.glob("*/door/1.png")):
            image.unlink()
        for folder in photos.glob("*/yard"):
            folder.rmdir()
    with pytest.warns(UserWarning, match=r"OWN\.TEST_SHARE: 0\.\d+ of 10 persons.* draws nobody to test on"):
        assert not load(*options).query


@pytest.mark.parametrize("place", [".", "runs/first"])
def test_a_run_inside_the_folder_of_persons_is_refused(command, tmp_path, photos, place):
    before = sorted(photos.rglob("*"))
    options = ("DATA.NAME", "folder_per_person", "DATA.ROOT", photos, "OUTPUT_DIR", photos / place)
    refused = command("train_net", "--config-file", "quickstart", *options)
    assert refused.code == 2
    assert "lies in the data set" in refused.error
    assert sorted(photos.rglob("*")) == before


def test_distractors_and_junk_are_left_out_where_nobody_is_tested(tmp_path, photos, load, caplog):
    caplog.set_level("INFO")
    picture(photos / "distractors" / "door" / "0.png", 90)
    picture(photos / "junk" / "door" / "0.png", 91)
    assert [record.person_id for record in load().gallery].count(0) == 1
    data = load("OWN.TEST_SHARE", "0")
    assert (len(data.train), data.query, data.gallery) == (40, [], [])
    assert "2 images of person -1 (junk), distractors or of nobody known are left out" in caplog.text
    # Two persons are trained on, nobody is left to test.
    for person in range(2, 10):
        shutil.rmtree(photos / f"p{person}")
    data = load()
    assert (len(data.train), data.query, data.gallery) == (8, [], [])


def test_images_without_cameras(tmp_path, load):
    for person in ("anna", "berta", "carl"):
        for image in range(3):
            picture(tmp_path / "photos" / person / f"{image}.png", image)
    data = load()
    assert [len(split) for split in (data.train, data.query, data.gallery)] == [6, 1, 2]
    assert data.query[0].camera_id == -1


def test_a_pattern_gives_cameras_and_times(tmp_path, load):
    for person in ("a", "b", "c"):
        for camera in (1, 2):
            picture(tmp_path / "photos" / person / f"cam{camera}_20260131T1230.png", camera)
    data = load("OWN.CAMERA_PATTERN", r"cam(?P<camera>\d+)_(?P<time>\w+)")
    assert {(r.camera_id, r.time) for r in data.train} == {(1, "2026-01-31T12:30:00"), (2, "2026-01-31T12:30:00")}
    with pytest.raises(UserError, match=r"a/cam1_.*'side' is not in|'side\(\?P<camera>x\)' is not in"):
        load("OWN.CAMERA_PATTERN", "side(?P<camera>x)")
    with pytest.raises(UserError, match="not a regular expression"):
        load("OWN.CAMERA_PATTERN", "(?P<camera>a){99999999999}")
    with pytest.raises(UserError, match="no group named camera"):
        load("OWN.CAMERA_PATTERN", "cam")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("beside.png", "1 images beside the persons' folders"),
        ("01/1.png", "person id '1' is written '01'"),
    ],
)
def test_what_is_not_certain_is_refused(photos, load, name, words):
    picture(photos / "1" / "1.png", 1)
    picture(photos / name, 1)
    with pytest.raises(UserError, match=words):
        load()


def test_a_person_without_images_is_refused(photos, load):
    (photos / "nobody").mkdir()
    with pytest.raises(UserError, match="nobody: holds no images"):
        load()


def test_labels_of_folders_for_features(photos):
    records = image_records([photos], labels="folder")
    assert len({record.person_id for record in records}) == 10
    assert len({record.camera_id for record in records}) == 2
    assert {record.person_id for record in image_records([photos])} == {-2}
