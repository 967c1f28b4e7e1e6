"""Which files are images, and that none is left out in silence."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from reid_dml.data.image_paths import folder_records
from reid_dml.data.images import read_image
from reid_dml.data.listing import EXTENSIONS, list_folders, list_images, walk_images
from reid_dml.data.sets.class_folders import read_class_tree
from reid_dml.data.sets.layouts import image_files
from reid_dml.errors import UserError


@pytest.fixture
def touch(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")

    return make


def test_other_files_are_passed_over(tmp_path, touch, recwarn):
    touch("b.jpg", "a.jpg.jpg", "c.JPG", "d.jfif", "e.avif", "Thumbs.db", "._d.jpg", "readme.txt")
    (tmp_path / "folder.jpg").mkdir()
    assert list_images(tmp_path) == ["a.jpg.jpg", "b.jpg", "c.JPG", "d.jfif", "e.avif"]
    assert not recwarn.list


def test_kinds_that_cannot_be_read_are_counted_in_one_line(tmp_path, touch):
    touch("a.jpg", "b.HEIC", "sub/c.heic", "sub/d.cr2")
    with pytest.warns(UserWarning, match=r"3 of kinds that cannot be read \(\.cr2, \.heic") as warned:
        assert walk_images(tmp_path) == ["a.jpg"]
    assert len(warned) == 1


@pytest.mark.parametrize("folder", [".ipynb_checkpoints", ".Trash-1000", "__MACOSX", "@eaDir", "$RECYCLE.BIN"])
def test_folders_that_systems_leave_are_passed_over_everywhere(tmp_path, touch, folder, recwarn):
    touch("a.jpg", f"{folder}/a.jpg", f"sub/{folder}/b.jpg")
    assert walk_images(tmp_path) == ["a.jpg"]
    assert list_folders(tmp_path) == ["sub"]
    assert [record.path for record in folder_records(tmp_path)] == [str(tmp_path / "a.jpg")]
    assert not recwarn.list


def test_links_are_followed_but_not_in_circles_nor_twice(tmp_path, touch):
    touch("photos/cam1/a.jpg", "elsewhere/b.jpg", "elsewhere/deep/c.jpg")
    photos = tmp_path / "photos"
    os.symlink(tmp_path / "elsewhere", photos / "cam2")
    os.symlink(photos, photos / "cam1" / "loop")
    os.symlink(photos / "cam1", photos / "a_copy")
    assert walk_images(photos) == ["cam1/a.jpg", "cam2/b.jpg", "cam2/deep/c.jpg"]


def test_a_link_that_leads_nowhere_is_an_image_that_is_broken(tmp_path, touch):
    touch("a.jpg")
    os.symlink(tmp_path / "gone.jpg", tmp_path / "b.jpg")
    assert walk_images(tmp_path) == ["a.jpg", "b.jpg"]
    with pytest.raises(UserError, match=r"b\.jpg: image is a link to .*gone\.jpg, which is not there"):
        read_image(tmp_path / "b.jpg")


def test_images_of_a_class_are_read_wherever_they_lie_below_it(tmp_path, touch):
    for split in ("train", "test"):
        touch(*(f"{split}/{name}/{number}.jpg" for name in ("cat", "dog") for number in range(2)))
    touch("train/cat/images/extra.jpg", "train/beside.jpg", "train/.ipynb_checkpoints/0.jpg")
    with pytest.warns(UserWarning, match=r"1 beside the class folders, first .*beside\.jpg"):
        data = read_class_tree(tmp_path, "own")
    assert [record.path[len(str(tmp_path)) :] for record in data.train] == [
        *("/train/cat/0.jpg", "/train/cat/1.jpg", "/train/cat/images/extra.jpg"),
        *("/train/dog/0.jpg", "/train/dog/1.jpg"),
    ]


def test_images_below_a_folder_of_the_market_layout_are_named(tmp_path, touch):
    touch("0001_c1.jpg", "more/0001_c2.jpg", "more/deep/0001_c3.jpg")
    with pytest.warns(UserWarning, match=r"2 in sub-folders, first .*more/0001_c2\.jpg"):
        assert len(image_files(tmp_path)) == 1


@pytest.mark.parametrize("extension", sorted(EXTENSIONS - {".mpo", ".apng", ".j2k", ".pbm", ".gif"}))
def test_every_kind_on_the_list_can_be_read(tmp_path, extension):
    encoded = {".jfif": ".jpg", ".jpe": ".jpg"}.get(extension, extension)
    image = np.full((128, 64) if extension == ".pgm" else (128, 64, 3), 200, np.uint8)
    path = tmp_path / f"a{extension}"
    path.write_bytes(cv2.imencode(encoded, image)[1].tobytes())
    np.testing.assert_allclose(read_image(path), 200, atol=3)


@pytest.mark.parametrize("kind", ["GIF", "MPO", "JPEG2000", "PPM"])
def test_pillows_files_are_read_too(tmp_path, kind):
    from PIL import Image

    Image.new("RGB", (8, 16), (200, 200, 200)).save(tmp_path / "a", kind)
    np.testing.assert_allclose(read_image(tmp_path / "a"), 200, atol=3)
