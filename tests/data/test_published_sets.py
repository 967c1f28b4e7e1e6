"""Published data sets as their archives unpack: persons, cameras, splits and protocols, and what is said of copies."""

from __future__ import annotations

import json
import re
import shutil
import warnings

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from reid_dml.config import load_config, warn_of_idle_options
from reid_dml.data.records import ClassificationData
from reid_dml.data.sets import load_data
from reid_dml.data.sets.found import Published, compare_counts
from reid_dml.data.sets.market1501 import FOLDER as MARKET
from reid_dml.errors import UserError

PNG = cv2.imencode(".png", np.zeros((8, 4, 3), np.uint8))[1].tobytes()
COUNTS = "ignore:.*results are not comparable"


@pytest.fixture
def load(tmp_path):
    def loaded(name, *options, root=tmp_path):
        (tmp_path / "c.yml").write_text(f"DATA: {{NAME: {name}, ROOT: {root}}}")
        return load_data(load_config(tmp_path / "c.yml", [*map(str, options)]))

    return loaded


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(PNG)


def rows(records):
    """Person and camera of images, sorted."""
    return sorted((record.person_id, record.camera_id) for record in records)


def market_layout(root, name, splits=("bounding_box_train", "query", "bounding_box_test")):
    """Persons 1 and 2 to train on, 3 and 4 to test, cameras 1 and 2; `name` is a file name of a person and a camera."""
    train, query, gallery = splits
    write(root, *(f"{train}/{name(person, camera)}" for person in (1, 2) for camera in (1, 2)))
    write(root, *(f"{query}/{name(person, 1)}" for person in (3, 4)))
    write(root, *(f"{gallery}/{name(person, 2)}" for person in (3, 4)))


def duke(person, camera):
    return f"{person:04d}_c{camera}_f0046182.jpg"


def make_msmt17(root, version=1):
    folder = root / f"MSMT17_V{version}"
    train, test = ("train", "test") if version == 1 else ("mask_train_v2", "mask_test_v2")
    lists = {
        "list_train.txt": (train, [(0, 1), (0, 2), (1, 1)]),
        "list_val.txt": (train, [(1, 3)]),
        "list_query.txt": (test, [(0, 1), (1, 15)]),
        "list_gallery.txt": (test, [(0, 2), (1, 2)]),
    }
    for number, (name, (images, entries)) in enumerate(lists.items()):
        lines = [f"{p:04d}/{p:04d}_{number:03d}_{c:02d}_0303morning_0015_0.jpg {p}" for p, c in entries]
        write(folder / images, *(line.split()[0] for line in lines))
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.filterwarnings(COUNTS)
@pytest.mark.parametrize(
    ("name", "folder", "inside", "splits", "file_name"),
    [
        ("dukemtmc", "DukeMTMC-reID", "", None, duke),
        ("occluded_duke", "Occluded_Duke", "", None, duke),
        (
            "veri776",
            "VeRi",
            "",
            ("image_train", "image_query", "image_test"),
            lambda p, c: f"{p:04d}_c{c:03d}_16_0.jpg",
        ),
        ("cuhk03_labelled", "cuhk03-np", "labeled", None, lambda p, c: f"{p:04d}_c{c}_21.png"),
        ("cuhk03_detected", "cuhk03-np", "detected", None, lambda p, c: f"{p:04d}_c{c}_21.png"),
    ],
)
def test_a_folder_a_split(tmp_path, load, name, folder, inside, splits, file_name):
    market_layout(tmp_path / folder / inside, file_name, *([splits] if splits else []))
    data = load(name)
    assert data.name == name
    assert rows(data.train) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert (rows(data.query), rows(data.gallery)) == ([(3, 1), (4, 1)], [(3, 2), (4, 2)])
    # In capitals of another kind, one folder too deep, twice in a folder of one name, or as DATA.ROOT itself.
    (tmp_path / folder).rename(tmp_path / "x")
    (tmp_path / folder.lower()).mkdir()
    (tmp_path / "x").rename(tmp_path / folder.lower() / "data")
    gallery = tmp_path / folder.lower() / "data" / inside / (splits or ["", "", "bounding_box_test"])[2]
    gallery.rename(gallery.with_name("x"))
    gallery.mkdir()
    gallery.with_name("x").rename(gallery / gallery.name)
    assert rows(load(name).gallery) == rows(data.gallery)
    assert rows(load(name, root=tmp_path / folder.lower() / "data").query) == rows(data.query)
    # Who only evaluates needs no images to train on.
    shutil.rmtree(tmp_path / folder.lower() / "data" / inside / (splits or ["bounding_box_train"])[0])
    with pytest.raises(UserError, match="folder not found"):
        load(name)


@pytest.mark.filterwarnings(COUNTS)
def test_numbers_are_read_to_their_end(tmp_path, load):
    market_layout(tmp_path / "DukeMTMC-reID", lambda person, camera: f"{person + 10**12}_c{camera + 10**5}_f1.jpg")
    assert rows(load("dukemtmc").query) == [(3 + 10**12, 1 + 10**5), (4 + 10**12, 1 + 10**5)]


@pytest.mark.filterwarnings(COUNTS)
@pytest.mark.parametrize("name", ["dukemtmc", "msmt17", "market1501"])
def test_cameras_can_be_ignored(tmp_path, load, name):
    make_msmt17(tmp_path)
    market_layout(tmp_path / "DukeMTMC-reID", duke)
    market_layout(tmp_path / MARKET, duke)
    with_cameras, without = load(name), load(name, "DATA.CAMERAS", "ignore")
    for split in ("train", "query", "gallery"):
        assert [r._replace(camera_id=-1) for r in getattr(with_cameras, split)] == getattr(without, split)


def test_differences_from_the_published_counts_are_one_line(tmp_path, load):
    market_layout(tmp_path / "DukeMTMC-reID", duke)
    with pytest.warns(UserWarning, match="query has 2 images instead of 2,228") as caught:
        load("dukemtmc")
    (said,) = [str(warning.message) for warning in caught]
    assert "train has 4 images instead of 16,522" in said
    assert "gallery has 2 identities instead of 1,110" in said


def test_equal_counts_say_nothing(tmp_path, load):
    market_layout(tmp_path / "DukeMTMC-reID", duke)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = load("dukemtmc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare_counts(tmp_path, {"train": data.train, "query": data.query}, Published({"train": 4}, {"query": 2}))


@pytest.mark.filterwarnings(COUNTS)
@pytest.mark.parametrize("version", [1, 2])
def test_msmt17_lists_keep_the_two_folders_persons_apart(tmp_path, load, version):
    make_msmt17(tmp_path, version)
    data = load("msmt17")
    assert data.name == f"msmt17_v{version}"
    assert rows(data.train) == [(1, 1), (1, 2), (2, 1), (2, 3)]
    assert rows(data.query) == [(1042, 1), (1043, 15)]
    assert rows(data.gallery) == [(1042, 2), (1043, 2)]
    assert data.class_names == ["0", "1"]
    assert len(load("msmt17", "PROTOCOL.VALIDATION", "leave_out").train) == 3
    with pytest.raises(UserError, match=f"MSMT17_V{3 - version}"):
        load(f"msmt17_v{3 - version}")


@pytest.mark.filterwarnings(COUNTS)
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: (root / "list_query.txt").write_text("0000_1.jpg zero\n"), r"list_query.txt: line 1: .*not like"),
        (lambda root: (root / "list_gallery.txt").write_text("\n"), r"list_gallery.txt: lists no images"),
        (lambda root: (root / "list_val.txt").unlink(), r"list_val.txt: not found"),
        (lambda root: (root / "list_query.txt").unlink(), r"holds no list_query.txt"),
    ],
)
def test_damaged_lists_of_msmt17_are_named(tmp_path, load, damage, words):
    damage(make_msmt17(tmp_path))
    with pytest.raises(UserError, match=words):
        load("msmt17")


@pytest.mark.filterwarnings(COUNTS)
def test_cuhk03_is_read_as_torchreid_leaves_it(tmp_path, load):
    names = {
        "train": ["1_001_1_01.png", "1_001_2_06.png", "2_001_1_01.png"],
        "query": ["1_003_1_01.png", "5_003_1_01.png"],
        "gallery": ["1_003_2_06.png", "5_003_2_06.png"],
    }
    write(tmp_path / "cuhk03" / "images_detected", *(name for found in names.values() for name in found))
    listed = {split: [[f"/home/x/images_detected/{name}", 0, 0] for name in found] for split, found in names.items()}
    file = tmp_path / "cuhk03" / "splits_new_detected.json"
    file.write_text(json.dumps([listed]))
    data = load("cuhk03_detected")
    assert rows(data.train) == [(1001, 1), (1001, 2), (2001, 1)]
    assert rows(data.query) == [(1003, 1), (5003, 1)]
    file.write_text("[{}]")
    with pytest.raises(UserError, match=r"splits_new_detected.json: not a list of one split"):
        load("cuhk03_detected")


def test_cuhk03_s_matlab_file_is_explained(tmp_path, load):
    (tmp_path / "cuhk03_release").mkdir()
    (tmp_path / "cuhk03_release" / "cuhk-03.mat").write_bytes(b"x")
    with pytest.raises(UserError, match=r"cuhk-03.mat: images are not read from this file; get CUHK03-NP"):
        load("cuhk03_labelled")


@pytest.mark.filterwarnings(COUNTS)
def test_ltcc_knows_clothes_where_they_must_change(tmp_path, load):
    root = tmp_path / "LTCC_ReID"
    write(root / "train", "000_1_c1_1.png", "000_2_c2_1.png", "011_1_c1_1.png")
    write(root / "query", "003_1_c1_1.png")
    write(root / "test", "003_1_c2_1.png", "003_2_c2_2.png", "003_2_c1_3.png")
    data = load("ltcc")
    assert data.class_names == ["0", "11"]
    assert [record.person_id for record in data.train] == [1, 1, 12]
    assert [(r.person_id, r.camera_id, r.clothes) for r in data.gallery] == [(4, 2, 2), (4, 1, 3), (4, 2, 3)]
    standard = load("ltcc", "PROTOCOL.CLOTHES", "any")
    assert {record.clothes for record in (*standard.query, *standard.gallery)} == {0}
    with pytest.raises(UserError, match="same: is for prcc"):
        load("ltcc", "PROTOCOL.CLOTHES", "same")


@pytest.mark.filterwarnings(COUNTS)
def test_prcc_searches_camera_a_by_the_clothes_that_are_asked_for(tmp_path, load):
    root = tmp_path / "prcc" / "rgb"
    for person in ("001", "002"):
        write(root / "train" / person, "A_cropped_rgb001.jpg", "B_cropped_rgb002.jpg", "C_cropped_rgb003.jpg")
    for camera in "ABC":
        for person in ("003", "005"):
            write(root / "test" / camera / person, "cropped_rgb001.jpg", "cropped_rgb002.jpg")
    data = load("prcc")
    assert rows(data.train) == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    assert {(r.person_id, r.camera_id) for r in data.query} == {(3, 3), (5, 3)}
    assert rows(data.gallery) == [(3, 1), (3, 1), (5, 1), (5, 1)]
    assert {r.camera_id for r in load("prcc", "PROTOCOL.CLOTHES", "same").query} == {2}
    assert {r.camera_id for r in load("prcc", "PROTOCOL.CLOTHES", "any").query} == {2, 3}
    drawn = {
        tuple(r.path for r in load("prcc", "PROTOCOL.SINGLE_SHOT", "True", "PROTOCOL.SPLIT", split).gallery)
        for split in range(10)
    }
    assert {len(gallery) for gallery in drawn} == {2}
    assert len(drawn) > 1
    (root / "test" / "B" / "anna").mkdir()
    with pytest.raises(UserError, match="called by their numbers"):
        load("prcc")


def make_viper(root, persons=range(8)):
    for camera, angle in (("cam_a", 45), ("cam_b", 90)):
        write(root / "VIPeR" / camera, *(f"{person:03d}_{angle}.bmp" for person in persons))


def make_cuhk01(root):
    write(root / "campus", *(f"{person:04d}{image:03d}.png" for person in range(1, 9) for image in range(1, 5)))


@pytest.mark.filterwarnings(COUNTS)
@pytest.mark.parametrize(("name", "make", "images"), [("viper", make_viper, 1), ("cuhk01", make_cuhk01, 2)])
def test_half_of_the_persons_of_two_views_are_drawn(tmp_path, load, name, make, images):
    make(tmp_path)
    data = load(name)
    trained, tested = set(data.class_ids), {record.person_id for record in data.query}
    assert len(trained) == len(tested) == 4
    assert trained | tested == set(range(1, 9))
    assert (len(data.train), len(data.query), len(data.gallery)) == (8 * images, 4 * images, 4 * images)
    assert {r.camera_id for r in data.query} == {1}
    assert {r.camera_id for r in data.gallery} == {2}
    swapped = load(name, "PROTOCOL.SWAP_VIEWS", "True")
    assert (swapped.train, swapped.query, swapped.gallery) == (data.train, data.gallery, data.query)
    assert load(name).train == data.train
    assert len({tuple(load(name, "PROTOCOL.SPLIT", split).class_ids) for split in range(10)}) > 3


@pytest.mark.filterwarnings(COUNTS)
def test_viper_s_own_numbers_name_the_persons(tmp_path, load):
    make_viper(tmp_path, (0, 1, 5, 873))
    data = load("viper")
    assert set(data.original_ids.items()) == {(1, "0"), (2, "1"), (6, "5"), (874, "873")}


@pytest.mark.filterwarnings(COUNTS)
def test_prid2011_searches_among_those_whom_one_camera_saw(tmp_path, load):
    root = tmp_path / "prid_2011" / "single_shot"
    # From 201 on the two cameras count their own persons.
    write(root / "cam_a", *(f"person_{person:04d}.png" for person in range(1, 386)))
    write(root / "cam_b", *(f"person_{person:04d}.png" for person in range(1, 750)))
    data = load("prid2011")
    assert (len(data.class_ids), len(data.train), len(data.query), len(data.gallery)) == (100, 200, 100, 649)
    searched_for = {r.person_id for r in data.query}
    assert searched_for | set(data.class_ids) == set(range(1, 201))
    assert {r.person_id for r in data.gallery} == searched_for | set(range(201, 750))
    assert {r.camera_id for r in data.query} == {1}
    assert {r.camera_id for r in data.gallery} == {2}


@pytest.mark.filterwarnings(COUNTS)
def test_a_person_of_prid2011_in_one_camera_is_not_trained_on(tmp_path, load):
    root = tmp_path / "prid_2011" / "single_shot"
    write(root / "cam_a", *(f"person_{person:04d}.png" for person in (1, 2, 3, 4, 20)))
    write(root / "cam_b", *(f"person_{person:04d}.png" for person in (1, 2, 3, 4, 30, 31)))
    data = load("prid2011")
    assert (len(data.train), len(data.query)) == (4, 2)
    assert {r.person_id for r in data.gallery} == {r.person_id for r in data.query} | {30, 31}


@pytest.mark.filterwarnings(COUNTS)
def test_ilids_has_one_query_and_one_match_a_person_and_no_cameras(tmp_path, load):
    write(
        tmp_path / "i-LIDS_Pedestrian" / "Persons",
        *(f"{person:04d}{image:03d}.jpg" for person in range(1, 7) for image in range(1, 4)),
    )
    data = load("ilids")
    assert len(data.class_ids) == 3
    assert len(data.train) == 9
    assert [r.person_id for r in data.query] == [r.person_id for r in data.gallery]
    assert len(data.query) == 3
    assert not {r.path for r in data.query} & {r.path for r in data.gallery}
    assert {r.camera_id for r in (*data.query, *data.gallery)} == {-1}


def make_grid(root, divisions=10):
    folder = root / "underground_reid"
    write(folder / "probe", *(f"{person:04d}_1_25004_107_32.jpeg" for person in range(1, 5)))
    write(folder / "gallery", *(f"{person:04d}_5_25023_116_32.jpeg" for person in range(1, 5)), "0000_6_1_1_1.jpeg")
    cells = np.empty(divisions, object)
    for split in range(divisions):
        persons = np.array([[1 + split % 2, 3]], np.float64)
        cells[split] = {"a": np.zeros((1, 1)), "b": np.zeros((1, 1)), "trainIdx": persons}
    savemat(folder / "features_and_partitions.mat", {"trainIdxAll": cells})
    return folder


@pytest.mark.filterwarnings(COUNTS)
def test_grid_is_divided_as_it_says_and_has_distractors(tmp_path, load):
    folder = make_grid(tmp_path)
    data = load("grid")
    assert rows(data.train) == [(1, 1), (1, 5), (3, 1), (3, 5)]
    assert rows(data.query) == [(2, 1), (4, 1)]
    assert rows(data.gallery) == [(0, 6), (2, 5), (4, 5)]
    assert load("grid", "PROTOCOL.SPLIT", 1).class_ids == [2, 3]
    with pytest.raises(UserError, match=r"PROTOCOL.SPLIT: 10: GRID gives 10 divisions"):
        load("grid", "PROTOCOL.SPLIT", 10)
    (folder / "features_and_partitions.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(UserError, match=r"features_and_partitions.mat: not GRID's divisions"):
        load("grid")


@pytest.mark.filterwarnings(COUNTS, "ignore:.*instead of")
def test_market_1501_has_other_names_and_500k_distractors(tmp_path, load):
    market_layout(tmp_path / "market1501", duke)
    assert rows(load("market1501").query) == [(3, 1), (4, 1)]
    with pytest.raises(UserError, match=r"distractors_500k: folder not found"):
        load("market1501_500k")
    write(tmp_path / "market1501" / "images", "0003_c1s1_000001_00.jpg", "anything.jpg")
    data = load("market1501_500k")
    assert rows(data.gallery) == [(0, -1), (0, -1), (3, 2), (4, 2)]
    with pytest.warns(UserWarning, match="distractors_500k has 2 images instead of 500,000"):
        load("market1501_500k")


def write_attributes(file, **changes):
    """Persons 1 and 2 (train), 3 and 4 (test): genders 1 2 1 2, a black, a red, a red and no upper body."""
    parts = {}
    for part, persons in (("train", ["0001", "0002"]), ("test", ["0003", "0004"])):
        found = {name: np.array([[1.0, 2.0]]) for name in ("gender", "age", "hat", "up")}
        colours = ("black", "white", "red", "purple", "yellow", "gray", "blue", "green")
        found |= {f"up{colour}": np.array([[1.0, 1.0]]) for colour in colours}
        found["upblack" if part == "train" else "upred"][0, 0] = 2
        if part == "train":
            found["upred"][0, 1] = 2
        parts[part] = {**found, "image_index": np.array(persons, object), **changes}
    savemat(file, {"market_attribute": parts})


@pytest.mark.filterwarnings(COUNTS, "ignore:.*instead of")
def test_attributes_of_market_1501_are_classes(tmp_path, load):
    market_layout(tmp_path / MARKET, duke)
    write(tmp_path / MARKET / "bounding_box_test", "0000_c1_1.jpg", "-1_c1_1.jpg")
    with pytest.raises(UserError, match=r"market_attribute.mat: not found"):
        load("market1501_attributes")
    write_attributes(tmp_path / "market_attribute.mat")
    data = load("market1501_attributes")
    assert isinstance(data, ClassificationData)
    assert data.class_names == ["male", "female"]
    assert [r.label for r in data.train] == [1, 1, 2, 2]
    assert [r.label for r in data.test] == [1, 2]
    with pytest.warns(UserWarning, match="1 of 4 persons have no upcolour, or two, and are left out, first 4"):
        colours = load("market1501_attributes", "PROTOCOL.ATTRIBUTE", "upcolour")
    assert colours.class_names == ["black", "red"]
    assert [r.label for r in colours.test] == [2]
    write_attributes(tmp_path / "market_attribute.mat", gender=np.array([[1.0, 3.0]]))
    with pytest.raises(UserError, match=r"gender of person 2 is 3"):
        load("market1501_attributes")
    with pytest.raises(UserError, match=r"not the attributes of Market-1501"):
        load("market1501_attributes", "PROTOCOL.ATTRIBUTE", "hair")


@pytest.mark.filterwarnings(COUNTS)
@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("viper", lambda root: None, "VIPeR: folder not found; see datasets/README.md"),
        ("viper", lambda root: (root / "VIPeR.v1.0.zip").write_bytes(b"x"), "VIPeR.v1.0.zip: is not unpacked"),
        ("viper", lambda root: write(root / "viper" / "cam_a", "1.bmp"), "viper: holds no cam_b"),
        ("viper", lambda root: write(root / "VIPeR", "cam_a/000_1.bmp", "cam_b/x.bmp"), "x.bmp: the name is not like"),
        ("viper", lambda root: write(root / "VIPeR", "cam_a/000_1.bmp", "cam_b/1_1.bmp"), "no person is in both views"),
        ("veri776", lambda root: market_layout(root / "VeRi", duke), "DATA.NAME folder DATA.ROOT"),
        ("msmt17", lambda root: market_layout(root / "MSMT17", duke), "DATA.NAME folder DATA.ROOT"),
        ("dukemtmc", lambda root: market_layout(root / "a" / "b" / "DukeMTMC-reID", duke), "set DATA.ROOT to .*/a/b$"),
        ("dukemtmc", lambda root: write(root / "duke", "query/1_c1.jpg", "bounding_box_test/1.jpg"), "1.jpg: the name"),
        (
            "prid2011",
            lambda root: (root / "prid_2011" / "multi_shot").mkdir(parents=True),
            "holds no single_shot/cam_a",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path, load, name, make, words):
    make(tmp_path)
    with pytest.raises(UserError, match=words) as refusal:
        load(name)
    assert "\n" not in str(refusal.value)
    assert re.search(r"/", str(refusal.value))


def test_options_of_other_sets_are_said_to_do_nothing(tmp_path):
    (tmp_path / "c.yml").write_text("DATA: {NAME: viper}\nPROTOCOL: {SPLIT: 3, CLOTHES: any}")
    with pytest.warns(
        UserWarning, match="PROTOCOL.CLOTHES: 'any': has no effect on viper; it is of ltcc, prcc"
    ) as said:
        warn_of_idle_options(load_config(tmp_path / "c.yml"))
    assert len(said) == 1
