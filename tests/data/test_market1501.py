"""Market-1501's names, folders and rules."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

from reid_dml.config import load_config
from reid_dml.data.file_names import parse_name
from reid_dml.data.sets import load_data
from reid_dml.data.sets.market1501 import FOLDER
from reid_dml.errors import UserError
from tests.conftest import REPOSITORY

NAMES = {
    "bounding_box_train": ["0002_c1s1_000001_00.jpg", "0002_c2s1_000002_00.jpg.jpg", "0007_c1s1_000003_00.JPG"],
    "query": ["0001_c1s1_000001_00.jpg", "0003_c2s1_000001_00.jpg"],
    "bounding_box_test": [
        "0000_c1s1_000001_00.jpg", "-1_c1s1_000001_00.jpg", "0001_c2s1_000001_00.jpg", "0003_c1s1_000001_00.jpg",
    ],
    "gt_bbox": ["0001_c1s1_000001_00.jpg", "0001_c1s1_000002_00.jpg"],
}  # fmt: skip


@pytest.fixture
def market(tmp_path):
    """A tiny Market-1501 below a folder whose own name looks like a person and a camera."""
    root = tmp_path / "run_12_c3" / FOLDER
    for folder, names in NAMES.items():
        (root / folder).mkdir(parents=True)
        (root / folder / "Thumbs.db").write_bytes(b"x")
        for name in names:
            (root / folder / name).write_bytes(cv2.imencode(".jpg", np.zeros((16, 8, 3), np.uint8))[1].tobytes())
    return root


@pytest.fixture
def load(tmp_path):
    def load_from(root, *overrides):
        path = tmp_path / "market.yml"
        path.write_text("DATA: {NAME: market1501}\n")
        return load_data(load_config(path, ["DATA.ROOT", str(root.parent), *overrides]))

    return load_from


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0002_c1s1_000451_03.jpg", (2, 1)),
        ("-1_c3s2_000451_03.jpg", (-1, 3)),
        ("0000_c6s1_000451_03.jpg.jpg", (0, 6)),
        ("1501_c12.png", (1501, 12)),
        ("-001_c123456.png", (-1, 123456)),
        ("-0_c1.png", (0, 1)),
    ],
)
def test_names_parse(name, expected):
    assert parse_name(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "x0002_c1s1.jpg",
        "0002.jpg",
        "c1_0002.jpg",
        "0002_k1s1.jpg",
        "-2_c1s1.jpg",
        "-11_c1s1.jpg",
        "",
        "9" * 20 + "_c1.jpg",
        "1_c" + "9" * 20 + ".jpg",
    ],
)
def test_other_names_do_not(name):
    with pytest.raises(ValueError):
        parse_name(name)


@pytest.mark.filterwarnings("ignore:.*instead of.*")
def test_ids_come_from_the_base_name_and_junk_is_left_out(market, load):
    data = load(market)
    assert [record.person_id for record in data.train] == [2, 2, 7]
    assert [record.camera_id for record in data.train] == [1, 2, 1]
    assert data.class_ids == [2, 7]
    assert [record.person_id for record in data.gallery] == [0, 1, 3]
    assert [record.person_id for record in data.boxes] == [1, 1]


def test_counts_that_differ_from_the_official_ones_are_reported(market, load):
    with pytest.warns(UserWarning, match="query has 2 images instead of 3,368") as caught:
        load(market)
    (said,) = [str(warning.message) for warning in caught]
    assert "train has 3 images instead of 12,936" in said
    assert "gallery has 4 images instead of 19,732" in said  # junk among them
    assert "gt_bbox has 2 images instead of 25,259" in said


@pytest.mark.filterwarnings("ignore:.*instead of.*")
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: shutil.rmtree(root), ["folder not found", "datasets/README.md"]),
        (lambda root: shutil.rmtree(root / "query"), ["query: folder not found"]),
        (lambda root: [p.unlink() for p in (root / "query").glob("0*")], ["query: holds no images"]),
        (
            lambda root: (root / "query" / "me.jpg").write_bytes(b"x"),
            ["me.jpg", "does not start with <person>_c<camera>"],
        ),
        (
            lambda root: [p.unlink() for p in (root / "bounding_box_train").glob("0002*")],
            ["one identity only", "(7)"],
        ),
        (
            lambda root: (root / "bounding_box_train" / "-1_c1s1_1_0.jpg").write_bytes(b"x"),
            ["-1_c1s1_1_0.jpg", "person id of 1 or more"],
        ),
        (
            lambda root: [p.unlink() for p in (root / "bounding_box_test").glob("000[13]*")],
            ["no person id of the query split appears in the gallery"],
        ),
    ],
)
def test_a_damaged_data_set_is_refused_by_name(market, load, damage, words):
    damage(market)
    with pytest.raises(UserError) as refusal:
        load(market)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.filterwarnings("ignore:.*instead of.*")
def test_gt_bbox_may_be_absent(market, load):
    shutil.rmtree(market / "gt_bbox")
    assert load(market).boxes == ()


@pytest.mark.filterwarnings("ignore:.*instead of.*")
def test_folders_are_found_in_any_capitals(market, load):
    before = load(market)
    (market / "gt_bbox").rename(market / "GT_bbox")
    (market / "query").rename(market / "Query")
    after = load(market)
    for split in ("train", "query", "gallery", "boxes"):
        assert [r[1:] for r in getattr(after, split)] == [r[1:] for r in getattr(before, split)]


@pytest.mark.filterwarnings("ignore:.*instead of.*")
def test_one_camera_needs_an_explicit_option(market, load):
    for folder in ("query", "bounding_box_test"):
        for path in (market / folder).glob("0*_c2*"):
            path.rename(path.with_name(path.name.replace("_c2", "_c1").replace("000001", "000009")))
    with pytest.raises(
        UserError, match=r"every query would lose all its matches.*camera ids present: 1.*CAMERAS ignore"
    ):
        load(market)
    assert {record.camera_id for record in load(market, "DATA.CAMERAS", "ignore").query} == {-1}


@pytest.mark.filterwarnings("ignore:.*instead of.*")
def test_the_real_data_set_has_its_published_size(market_root):
    data = load_data(load_config(REPOSITORY / "configs" / "market_mobilenet_dml.yml", ["DATA.ROOT", str(market_root)]))
    assert (len(data.train), len(data.class_ids), len(data.query)) == (12936, 751, 3368)
    assert len(data.gallery) == 19732 - 3819
    assert sum(record.person_id == 0 for record in data.gallery) == 2798
    assert len({record.person_id for record in data.query}) == 750
    assert {record.camera_id for record in data.train} == {1, 2, 3, 4, 5, 6}


def test_a_folder_per_person_is_called_so(tmp_path):
    for person in ("anna", "ben"):
        (tmp_path / "photos" / person).mkdir(parents=True)
    cfg = load_config("quickstart", ["DATA.NAME", "folder", "DATA.ROOT", str(tmp_path / "photos")])
    with pytest.raises(UserError, match=r"photos: holds none of bounding_box_train.*folder_per_person, not folder"):
        load_data(cfg)
