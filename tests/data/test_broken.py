"""Images that cannot be used: damaged ones are found, all are named, and an option leaves them out."""

from __future__ import annotations

import re
import shutil
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from reid_dml.data.broken import all_broken_named, find_broken, usable_records
from reid_dml.data.image_header import image_size
from reid_dml.data.images import BrokenImage, decode_image, read_image
from reid_dml.data.listing import list_images
from reid_dml.data.records import ImageRecord
from reid_dml.data.sets import load_data
from reid_dml.data.stored import ImageFiles, read_all
from reid_dml.errors import UserError
from reid_dml.features.extractor import FeatureExtractor


def jpeg(rng, **options):
    small = rng.integers(0, 256, (16, 8, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(small).resize((256, 512)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def bomb(side):
    """A PNG of this many black pixels on each side."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer, line = zlib.compressobj(9), bytes(1 + side // 8)
    body = b"".join(packer.compress(line) for _ in range(side)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.fixture
def photos(tmp_path, rng):
    """Ten JPEGs, of which 1, 4, 6 and 8 are cut."""
    paths = [tmp_path / "photos" / f"{number}.jpg" for number in range(10)]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        data = jpeg(rng)
        path.write_bytes(data[: len(data) // 2] if number in (1, 4, 6, 8) else data)
    return paths


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 4}])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data, half: data[:half] + b"\xff\xd9",
        lambda data, half: data[:half] + data[half + 500 :],
        lambda data, half: data[:half] + b"\xd1\x3e\x9a\x57" * 64 + data[half + 256 :],
    ],
)
def test_a_jpeg_damaged_inside_is_named(tmp_path, rng, options, damage):
    data = jpeg(rng, **options)
    path = tmp_path / "a.jpg"
    path.write_bytes(damage(data, len(data) // 2))
    with pytest.raises(BrokenImage, match=r"a\.jpg: image is damaged inside \(Corrupt JPEG data"):
        read_image(path)


def test_bytes_behind_the_image_are_said_not_refused(rng):
    data = jpeg(rng)
    with pytest.warns(UserWarning, match=r"a\.jpg: image may be damaged inside .*extraneous"):
        decode_image(data[:-2] + b"\x55" * 40 + data[-2:], "a.jpg")


def test_what_is_said_is_said_of_the_right_image(rng, capfd):
    good = [jpeg(rng) for _ in range(40)]
    data = [image[: len(image) // 2] + b"\xff\xd9" if n % 5 == 3 else image for n, image in enumerate(good)]

    def decode(number):
        try:
            decode_image(data[number], f"{number}.jpg")
        except BrokenImage:
            return True
        return False

    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert list(pool.map(decode, range(40))) == [n % 5 == 3 for n in range(40)]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM", "MPO"])
def test_the_size_is_read_from_the_header(kind):
    buffer = BytesIO()
    Image.new("RGB", (70, 50)).save(buffer, kind)
    assert image_size(buffer.getvalue()) == (70, 50)
    with pytest.raises(BrokenImage, match=r"too large \(70 x 50, more than the 3,499 pixels of DATA\.PIXEL_LIMIT\)"):
        decode_image(buffer.getvalue(), "a", 3499)
    assert decode_image(buffer.getvalue(), "a", 3500).shape == (50, 70, 3)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(bomb(40000))
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(BrokenImage, match=r"too large \(40,000 x 40,000, .*scale it down, or raise the limit"):
        read_image(tmp_path / "a.png")
    with pytest.raises(BrokenImage, match=r"more than OpenCV reads\); scale it down"):
        read_image(tmp_path / "a.png", 10**12)


def test_the_extractor_keeps_the_limit(tiny_run, tmp_path):
    extract = FeatureExtractor.from_run(tiny_run)
    (tmp_path / "a.png").write_bytes(bomb(16000))
    for image in (tmp_path / "a.png", Image.new("1", (16000, 16000))):
        with pytest.raises(UserError, match=r"too large \(16,000 x 16,000"):
            extract([image])


def test_all_broken_images_are_named_at_once(photos):
    images = ImageFiles([ImageRecord(str(path), 1, 1) for path in photos], (8, 8))
    broken, seen = find_broken(images)
    assert seen == 10
    assert [error.path for error in broken] == [str(photos[number]) for number in (1, 4, 6, 8)]
    said = r"^4 of 10 images cannot be read: .*1\.jpg \(truncated\), .*SKIP_BROKEN True$"
    with pytest.raises(UserError, match=said), all_broken_named(images):
        read_all(images)


def test_many_broken_images_are_counted(tmp_path, make_config):
    records = [ImageRecord(str(tmp_path / f"{number}.jpg"), 1, 1) for number in range(9)]
    with pytest.raises(
        UserError, match=r"^9 of 9 images cannot be read: .*0\.jpg \(not found\).* and 4 more; "
    ) as said:
        usable_records(make_config(), records)
    assert "5.jpg" not in str(said.value)


def test_skip_broken_leaves_them_out_with_one_warning(photos, make_config):
    records = [ImageRecord(str(path), 1, 1) for path in photos]
    photos[0].unlink()
    photos[9].write_bytes(b"")
    with pytest.warns(UserWarning, match=r"^6 of 10 images are broken and left out") as warned:
        kept = usable_records(make_config("DATA.SKIP_BROKEN", "True"), records)
    assert len(warned) == 1
    assert [record.path for record in kept] == [str(photos[number]) for number in (2, 3, 5, 7)]


def test_skip_broken_leaves_out_a_link_to_an_image_that_is_gone(photos, make_config):
    photos[1].unlink()
    photos[1].symlink_to("gone.jpg")
    records = [ImageRecord(str(photos[0].parent / name), 1, 1) for name in list_images(photos[0].parent)]
    assert len(records) == len(photos)
    with pytest.raises(UserError, match=r"1\.jpg: image is a link to gone\.jpg, which is not there"):
        usable_records(make_config(), records)
    with pytest.warns(UserWarning, match=r"1\.jpg \(a link to gone\.jpg, which is not there\)"):
        kept = usable_records(make_config("DATA.SKIP_BROKEN", "True"), records)
    assert [int(record.path[-5]) for record in kept] == [0, 2, 3, 5, 7, 9]


def test_the_commands_name_or_skip_them(photos, command, tiny_config, tiny_run, tmp_path):
    arguments = ("--config-file", tiny_config, "MODEL.WEIGHTS", tiny_run, "--images", photos[0].parent)
    output = tmp_path / "f.npz"
    refused = command("extract_features", *arguments, "--output", output)
    assert "4 of 10 images cannot be read" in refused.error
    done = command("extract_features", *arguments, "--output", output, "DATA.SKIP_BROKEN", "True")
    assert done.code == 0, done.err
    assert done.err.count("warning: 4 of 10 images are broken and left out") == 1
    assert len(np.load(output)["paths"]) == 6


def test_a_data_set_goes_on_without_them(make_config, data_root, tmp_path):
    shutil.copytree(next(data_root.glob("synthetic-*")), tmp_path / "own")
    broken = sorted((tmp_path / "own" / "bounding_box_train").iterdir())[0]
    broken.write_bytes(b"no image")
    options = ("DATA.NAME", "folder", "DATA.ROOT", str(tmp_path / "own"))
    whole = load_data(make_config(*options))
    with pytest.warns(UserWarning, match=re.escape(str(broken))):
        data = load_data(make_config(*options, "DATA.SKIP_BROKEN", "True"))
    assert len(data.train) == len(whole.train) - 1
    assert data.gallery == whole.gallery
