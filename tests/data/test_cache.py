"""The decoded cache: the same pixels as the files, made once, mended when damaged, never in the way."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid_dml.data.pipeline import cache, shard
from reid_dml.data.pipeline.cache import cache_folder, open_images
from reid_dml.data.pipeline.sources import make_source
from reid_dml.data.records import ImageRecord
from reid_dml.data.sets import load_data
from reid_dml.data.stored import ImageFiles, read_all
from reid_dml.errors import UserError

SIZE = (12, 8)


@pytest.fixture
def decoded(monkeypatch):
    """Paths of the images decoded by the cache so far."""
    paths, decode = [], shard.decode_image
    monkeypatch.setattr(shard, "decode_image", lambda data, path, *limit: paths.append(str(path)) or decode(data, path))
    return paths


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(cache, "_SHARD_BYTES", 3 * 12 * 8 * 4)  # between two and four images each: two


@pytest.fixture
def records(tmp_path, rng):
    """Ten images of random sizes in two folders of `data`."""
    found = []
    for number in range(10):
        path = tmp_path / "data" / f"{number % 2}" / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 256, (*rng.integers(6, 40, 2), 3), dtype=np.uint8))
        found.append(ImageRecord(str(path), number, 1))
    return found


@pytest.fixture
def make(make_config, small_shards, tmp_path):
    def make_images(records):
        options = ("DATA.STORED_SIZE", "[12, 8]", "DATA.CACHE_DIR", str(tmp_path / "cache"))
        return open_images(make_config(*options), records, "train")

    return make_images


def shards(tmp_path):
    return sorted((tmp_path / "cache").glob("*.npy"))


def test_images_are_those_of_the_files_and_decoded_once(make, records, decoded, tmp_path):
    expected = read_all(ImageFiles(records, SIZE))
    np.testing.assert_array_equal(read_all(make(records), workers=3), expected)
    assert sorted(decoded) == sorted(record.path for record in records)
    images = make(records)
    np.testing.assert_array_equal(read_all(images), expected)
    assert len(decoded) == 10
    assert [len(np.load(file)) for file in shards(tmp_path)] == [2] * 5
    rows = np.array([7, 8, 9, 0, 1, 5, 3, 3, 2])
    out = np.empty((9, 3, *SIZE), np.uint8)
    images.read(rows, out)
    np.testing.assert_array_equal(out, expected[rows])
    images.at(rows).read(np.array([2, 5, 0]), out[:3])
    np.testing.assert_array_equal(out[:3], expected[[9, 5, 7]])


def test_a_moved_or_touched_data_set_is_not_decoded_again(make, records, decoded, tmp_path):
    make(records)
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    moved = [record._replace(path=record.path.replace("/data/", "/elsewhere/")) for record in records]
    for record in moved:
        os.utime(record.path)
    images = make(moved)
    assert len(decoded) == 10
    np.testing.assert_array_equal(read_all(images), read_all(ImageFiles(moved, SIZE)))


@pytest.fixture
def many(tmp_path, rng, monkeypatch):
    """A hundred images, of which 8 to 16 share a shard."""
    monkeypatch.setattr(cache, "_SHARD_BYTES", 3 * 12 * 8 * 16)
    (tmp_path / "many").mkdir()
    return [draw(tmp_path / "many" / f"{number:04d}.bmp", rng) for number in range(100)]


def draw(path, rng):
    cv2.imwrite(str(path), rng.integers(0, 256, (12, 8, 3), dtype=np.uint8))
    return ImageRecord(str(path), 1, 1)


@pytest.mark.parametrize("change", ["first", "middle", "last", "removed"])
def test_an_added_or_removed_image_costs_the_shards_around_it(make, many, decoded, rng, tmp_path, change):
    images = make(many)
    number, before = len(images.shards), set(shards(tmp_path))
    assert 100 / 16 <= number <= 100 / 8
    del images, decoded[:]
    if change == "removed":
        changed = many[:50] + many[51:]
    else:
        place = {"first": 0, "middle": 50, "last": 100}[change]
        name = many[place - 1].path.replace(".bmp", "b.bmp") if place else str(tmp_path / "many" / "0000a.bmp")
        changed = [*many[:place], draw(Path(name), rng), *many[place:]]
    images = make(changed)
    assert 0 < len(decoded) <= 3 * 16
    np.testing.assert_array_equal(read_all(images), read_all(ImageFiles(changed, SIZE)))
    found = set(shards(tmp_path))
    assert found == {shard.pixels for shard in images.shards}  # the old ones are gone
    assert len(found & before) >= number - 3
    assert {file.with_suffix(".npz") for file in found} == set((tmp_path / "cache").glob("*.npz"))


def test_shards_that_others_need_or_read_are_not_removed(make_config, many, make, decoded, tmp_path):
    images, part = make(many), many[1:]
    options = ("DATA.STORED_SIZE", "[12, 8]", "DATA.CACHE_DIR", str(tmp_path / "cache"))
    before = set(shards(tmp_path))
    # Another split, other options and another data set in the same folder have lists of their own.
    others = [
        open_images(make_config(*options), part, "query"),
        open_images(make_config(*options, "SEMI.LABELLED_SHARE", "0.5"), part, "train"),
        open_images(make_config(*options, "DATA.ROOT", str(tmp_path)), part, "train"),
    ]
    assert before <= set(shards(tmp_path))
    changed = open_images(make_config(*options), many[:-1], "train")  # while `images` is in use
    assert before <= set(shards(tmp_path))
    for held, records in ((images, many), (changed, many[:-1]), *((other, part) for other in others)):
        np.testing.assert_array_equal(read_all(held), read_all(ImageFiles(records, SIZE)))
    del images, changed, held
    make(many[:-1])
    needed = {shard.pixels for shard in make(many[:-1]).shards + others[0].shards}
    assert set(shards(tmp_path)) == needed
    assert not before <= needed
    del decoded[:]
    for split, more in (("query", ()), ("train", ("SEMI.LABELLED_SHARE", "0.5"))):
        open_images(make_config(*options, *more), part, split)
    assert decoded == []


def test_a_cache_that_may_only_be_read_serves_all_the_same(make, records, decoded, tmp_path, monkeypatch):
    make(records)

    @contextmanager
    def refused(folder):
        raise PermissionError(13, "no", str(folder))
        yield

    monkeypatch.setattr(cache, "alone", refused)
    np.testing.assert_array_equal(read_all(make(records)), read_all(ImageFiles(records, SIZE)))
    assert len(decoded) == 10


def test_an_edited_image_costs_its_own_shard(make, records, decoded):
    make(records)
    path = Path(records[5].path)
    path.write_bytes(Path(records[6].path).read_bytes())  # of another length
    images = make(records)
    assert sorted(decoded[10:]) == sorted(record.path for record in records[4:6])
    np.testing.assert_array_equal(read_all(images), read_all(ImageFiles(records, SIZE)))
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 255]))  # of the same length: seen by its time
    images = make(records)
    assert sorted(decoded[12:]) == sorted(record.path for record in records[4:6])
    np.testing.assert_array_equal(read_all(images), read_all(ImageFiles(records, SIZE)))


@pytest.mark.parametrize("kind", ["flipped", "cut", "no index", "bad index"])
def test_a_damaged_shard_is_made_anew(make, records, tmp_path, kind):
    make(records)
    file = shards(tmp_path)[0]
    data, index = bytearray(file.read_bytes()), file.with_suffix(".npz")
    if kind == "flipped":
        data[-1] ^= 255
        file.write_bytes(data)
    elif kind == "cut":
        file.write_bytes(data[:-1])
    elif kind == "no index":
        index.unlink()
    else:
        index.write_bytes(index.read_bytes()[:-30])
    images = make(records)
    expected = read_all(ImageFiles(records, SIZE))
    if kind == "flipped":  # seen when it is read
        with pytest.warns(UserWarning, match=f"{file.name}: damaged; made anew from its 2 image files"):
            np.testing.assert_array_equal(read_all(images), expected)
    np.testing.assert_array_equal(read_all(make(records)), expected)


def test_damage_while_a_process_reads_costs_nothing_but_time(make, records, tmp_path):
    images = make(records)
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_text("in the way: nothing can be written")
    with pytest.warns(UserWarning, match="damaged; made anew|its images are decoded instead") as warned:
        np.testing.assert_array_equal(read_all(images), read_all(ImageFiles(records, SIZE)))
    assert len(warned) == 2 * 5  # once a shard


@pytest.mark.parametrize("way", ["replaced", "written to"])
def test_a_shard_that_becomes_another_is_not_taken_for_the_first(make, records, tmp_path, way):
    images, expected = make(records), read_all(ImageFiles(records, SIZE))
    np.testing.assert_array_equal(read_all(images), expected)  # every image was compared with its checksum
    for file in shards(tmp_path):
        other = 255 - np.load(file)
        if way == "replaced":
            np.save(tmp_path / "other.npy", other)
            (tmp_path / "other.npy").rename(file)
        else:
            np.save(file, other)
    with pytest.warns(UserWarning, match="damaged; made anew from its"):
        np.testing.assert_array_equal(read_all(images), expected)


def test_a_stopped_build_goes_on_where_it_was(make, records, decoded, tmp_path, monkeypatch):
    broken = Path(records[9].path)
    data = broken.read_bytes()
    broken.write_bytes(b"x" * len(data))
    with pytest.raises(UserError, match=r"9\.bmp: image is corrupt"):
        make(records)
    assert len(shards(tmp_path)) == 4
    assert not list((tmp_path / "cache").glob(".*.tmp"))
    broken.write_bytes(data)
    del decoded[:]
    images = make(records)
    assert sorted(decoded) == [record.path for record in records[8:]]
    np.testing.assert_array_equal(read_all(images), read_all(ImageFiles(records, SIZE)))


def test_what_a_killed_process_left_is_removed(make, records, tmp_path):
    make(records)
    file = shards(tmp_path)[0]
    draft = file.with_name(f".{file.name}.123.tmp")
    file.rename(draft)
    make(records)
    assert file.is_file()
    assert not draft.exists()


def test_commands_that_start_together_share_the_work(make, records, decoded):
    with ThreadPoolExecutor(3) as pool:
        filled = list(pool.map(make, [records] * 3))
    assert sorted(decoded) == sorted(record.path for record in records)
    for images in filled:
        np.testing.assert_array_equal(read_all(images), read_all(ImageFiles(records, SIZE)))


def test_a_cache_that_cannot_be_written_is_done_without(make, records, tmp_path, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, cache._SPARE_BYTES))
    with pytest.warns(UserWarning, match=r"cache: 0\.0 GB of decoded images do not fit.*set DATA\.CACHE_DIR"):
        images = make(records)
    assert isinstance(images, ImageFiles)
    assert shards(tmp_path) == []


def test_the_cache_lies_beside_the_data_where_it_can(make_config, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/me/cache")
    root = tmp_path / "data"
    root.mkdir()
    (tmp_path / "list.csv").touch()
    assert cache_folder(make_config("DATA.ROOT", str(root))) == root / ".cache" / "reid_dml"
    assert cache_folder(make_config("DATA.ROOT", str(tmp_path / "list.csv"))) == tmp_path / ".cache" / "reid_dml"
    assert cache_folder(make_config("DATA.CACHE_DIR", "")) is None
    assert cache_folder(make_config("DATA.CACHE_DIR", "/scratch/c")) == Path("/scratch/c")
    monkeypatch.setattr(cache.os, "access", lambda path, mode: False)
    assert cache_folder(make_config("DATA.ROOT", str(root))) == Path("/home/me/cache/reid_dml")
    (root / ".cache" / "reid_dml").mkdir(parents=True)  # somebody else's, to be read
    assert cache_folder(make_config("DATA.ROOT", str(root))) == root / ".cache" / "reid_dml"


def test_batches_do_not_depend_on_where_the_pixels_are(make_config, tmp_path):
    data = load_data(make_config())
    sources = [
        make_source(make_config("DATA.SOURCE", kind, "DATA.CACHE_DIR", folder), data.train, data.class_ids, 1, "cpu")
        for kind in ("resident", "streaming")
        for folder in ("", str(tmp_path / "cache"))
    ]
    for step in (0, 1, 2, 7, 3):
        first, *others = (source.batch(step) for source in sources)
        for other in others:
            for name in ("images", "labels", "cameras", "draws"):
                assert (getattr(first, name) == getattr(other, name)).all(), name
