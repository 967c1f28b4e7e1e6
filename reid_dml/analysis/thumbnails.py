"""Small copies of images for pages and figures."""

from __future__ import annotations

import base64
import os

import cv2
import numpy as np

from reid_dml.data.images import NO_LIMIT, read_image, resize_image
from reid_dml.data.records import ImageRecord
from reid_dml.data.videos import file_of

_SIZE = (96, 48)  # height and width of a person's; other images are square


def thumbnail(record: ImageRecord) -> np.ndarray | None:
    """A small copy of an image, or of a frame, (96, 48 or 96, 3) uint8 RGB; None where its file is not there."""
    if record.pixels is None and not os.path.isfile(file_of(record.path)):
        return None
    pixels = read_image(record.path, NO_LIMIT) if record.pixels is None else record.pixels
    height, width = pixels.shape[:2]
    return resize_image(pixels, _SIZE if height > 1.5 * width else (_SIZE[0], _SIZE[0]))


def jpeg_url(image: np.ndarray, quality: int) -> str:
    """An image as the address of an <img> that holds it.

    Args:
        image: (H, W, 3) uint8 RGB.
        quality: of the JPEG, up to 100.
    """
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
