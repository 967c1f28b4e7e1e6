"""Reading image files: decode, check, resize. Every image of the library passes through here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from reid_dml.data.listing import list_images
from reid_dml.errors import UserError, absolute

__all__ = ["decode_image", "list_images", "read_file", "read_image", "resize_image", "to_stored"]

# OpenCV would share out larger images over a pool of its own, beside the threads that read images for us.
cv2.setNumThreads(1)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a broken file is reported once, by us


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """The image as (H, W, 3) uint8 RGB. Raises `UserError` for a missing, empty, truncated or foreign file."""
    return decode_image(read_file(path), path)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of an image file. Raises `UserError` if there is none, or if it is empty."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{absolute(path)}: image not found; check the path or the list that names it") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder where an image is expected; name an image file") from None
    if not data:
        raise UserError(f"{path}: image is empty (0 bytes); copy it again from the data set's archive or remove it")
    return data


def decode_image(data: bytes, path: str | os.PathLike[str]) -> np.ndarray:
    """The image in these bytes of a file as (H, W, 3) uint8 RGB. Raises `UserError` naming the file."""
    # A JPEG that ends too early OpenCV (4.11, 5.0) refuses; one whose end is zeros, as copies that broke off leave
    # them, it decodes with something in place of the missing part. Neither has the end marker.
    truncated = data[:2] == b"\xff\xd8" and data.rfind(b"\xff\xd9") < 0
    try:
        image = None if truncated else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        kind = "truncated" if truncated else "corrupt or not an image"
        raise UserError(f"{path}: image is {kind}; copy it again from the data set's archive or remove it")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def resize_image(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Resize (H, W, 3) uint8 to size = (height, width), bilinear, by area when shrinking to less than half."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= 2 * height and image.shape[1] >= 2 * width
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def to_stored(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """An image (H, W, 3) as it is kept: (3, height, width) uint8."""
    return np.ascontiguousarray(resize_image(image, size).transpose(2, 0, 1))
