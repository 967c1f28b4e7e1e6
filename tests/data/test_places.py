"""A data root one level too high, too low or nested, and where drawn images go."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from reid_dml.config import load_config
from reid_dml.data.pipeline.cache import cache_folder
from reid_dml.data.sets import load_data
from reid_dml.errors import UserError

MARKET = "Market-1501-v15.09.15"


@pytest.fixture
def load(tmp_path):
    def loaded(name, root):
        (tmp_path / "c.yml").write_text(f"DATA: {{NAME: {name}, ROOT: {root}}}")
        return load_data(load_config(tmp_path / "c.yml"))

    return loaded


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((8, 4, 3), np.uint8))


def market(root):
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        for person in (1, 2):
            write(root / folder / f"{person:04d}_c{1 if folder == 'query' else 2}s1_000001_00.png")


def classes(root):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            write(root / split / name / "1.png")


@pytest.mark.parametrize(
    ("name", "make", "place", "given", "meant"),
    [
        ("market1501", market, f"sets/{MARKET}", f"sets/{MARKET}", "sets"),
        ("market1501", market, f"sets/{MARKET}", f"sets/{MARKET}/query", "sets"),
        ("market1501", market, f"sets/{MARKET}", ".", "sets"),
        ("market1501", market, f"sets/{MARKET}/{MARKET}", "sets", f"sets/{MARKET}"),
        ("folder", market, "own", ".", "own"),
        ("folder", market, "own", "own/query", "own"),
        ("folder", market, "own/own", "own", "own/own"),
        ("class_folders", classes, "pets", "pets/train", "pets"),
        ("class_folders", classes, "pets/pets", "pets", "pets/pets"),
        ("cifar10", classes, "sets/cifar10", "sets/cifar10", "sets"),
        ("imagenet", classes, "sets/imagenet", "sets/imagenet", "sets"),
        ("tiny_imagenet", classes, "a/b/tiny-imagenet-200", "a", "a/b"),
    ],
)
def test_the_right_root_is_named(tmp_path, load, name, make, place, given, meant):
    if name == "imagenet":
        classes(tmp_path / place)
        (tmp_path / place / "test").rename(tmp_path / place / "val")
    else:
        make(tmp_path / place)
    with pytest.raises(UserError, match=re.escape(f"set DATA.ROOT to {tmp_path / meant}") + "$"):
        load(name, tmp_path / given)


def test_what_is_nowhere_is_missed_with_its_whole_path(tmp_path, load, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=re.escape(f"{tmp_path / 'sets' / MARKET}: folder not found")):
        load("market1501", "sets")


@pytest.mark.parametrize("name", ["synthetic", "synthetic_shapes"])
def test_drawn_images_do_not_land_where_one_stands(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "c.yml").write_text(
        f"DATA: {{NAME: {name}}}\nSYNTHETIC: {{TRAIN_IDENTITIES: 2, TEST_IDENTITIES: 2, CAMERAS: 2}}\n"
        "SHAPES: {TRAIN_PER_CLASS: 2, TEST_PER_CLASS: 1}"
    )
    cfg = load_config(tmp_path / "c.yml")
    assert load_data(cfg).root.startswith(str(tmp_path / "cache" / "reid_dml" / "datasets"))
    assert cache_folder(cfg) == tmp_path / "cache" / "reid_dml"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yml", "cache"]
    (tmp_path / "datasets").mkdir()
    assert load_data(cfg).root.startswith("datasets/")
