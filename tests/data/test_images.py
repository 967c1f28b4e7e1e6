"""Reading images: what is refused, and what a resize does."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from reid_dml.data.images import read_image, resize_image
from reid_dml.data.records import ImageRecord
from reid_dml.data.stored import ImageFiles, read_all
from reid_dml.errors import UserError


@pytest.fixture
def picture(tmp_path, rng):
    image = rng.integers(0, 256, (40, 20, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return path, image


def test_images_are_rgb(picture):
    path, image = picture
    np.testing.assert_array_equal(read_image(path), image)


def test_images_keep_their_order_whatever_the_number_of_threads(tmp_path, rng):
    records = []
    for number in range(300):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), np.full((8, 8, 3), number % 256, np.uint8))
        records.append(ImageRecord(str(path), 1, 1))
    images = read_all(ImageFiles(records, (8, 8)), workers=4)
    assert [int(image[0, 0, 0]) for image in images] == [number % 256 for number in range(300)]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"", "empty (0 bytes)"),
        (lambda data: data[: len(data) // 2], "truncated"),
        (lambda data: data[: len(data) // 2] + bytes(len(data) // 2), "truncated"),
        (lambda data: b"this is no image", "corrupt or not an image"),
        (lambda data: b"\x00" * len(data), "corrupt or not an image"),
    ],
)
def test_a_damaged_image_is_refused_by_name(tmp_path, rng, damage, words):
    path = tmp_path / "0001_c1s1_000001_00.jpg"
    data = cv2.imencode(".jpg", rng.integers(0, 256, (128, 64, 3), dtype=np.uint8))[1].tobytes()
    path.write_bytes(damage(data))
    with pytest.raises(UserError) as refusal:
        read_image(path)
    assert str(path) in str(refusal.value)
    assert words in str(refusal.value)


def test_a_missing_image_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg: image not found"):
        read_image(tmp_path / "gone.jpg")


def test_resizing_to_the_same_size_changes_nothing(picture):
    _, image = picture
    assert resize_image(image, (40, 20)) is image
    assert resize_image(image, (10, 30)).shape == (10, 30, 3)


def test_a_side_that_shrinks_is_antialiased(rng):
    """Each row and column is the mean of the pixels it covers, weighted by a triangle as wide as two of them."""
    image = rng.integers(0, 256, (15, 20, 3), dtype=np.uint8)

    def weights(old: int, new: int) -> np.ndarray:
        scale = max(old / new, 1)
        distance = np.abs(np.arange(old) + 0.5 - (np.arange(new)[:, None] + 0.5) * old / new) / scale
        values = np.clip(1 - distance, 0, None)
        return values / values.sum(1, keepdims=True)

    for size in ((8, 8), (8, 40), (30, 11), (14, 19)):
        expected = np.einsum("yh,xw,hwc->yxc", weights(15, size[0]), weights(20, size[1]), image.astype(float))
        np.testing.assert_allclose(resize_image(image, size), expected, atol=1.01)  # two roundings to whole numbers


def test_images_of_market_1501_are_resized_as_ever(rng):
    """What trained networks have seen."""
    image = rng.integers(0, 256, (128, 64, 3), dtype=np.uint8)
    linear, area = cv2.INTER_LINEAR, cv2.INTER_AREA
    for height, width, how in ((160, 64, linear), (256, 128, linear), (64, 32, area), (48, 24, area)):
        expected = cv2.resize(image, (width, height), interpolation=how)
        np.testing.assert_array_equal(resize_image(image, (height, width)), expected)
    assert resize_image(image, (128, 64)) is image
