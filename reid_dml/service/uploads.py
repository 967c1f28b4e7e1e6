"""Images that somebody sends: looked at before they are decoded, refused in one line."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

import cv2
import numpy as np

from reid_dml.data.image_header import image_size
from reid_dml.data.images import BrokenImage, decode_image, resize_image
from reid_dml.service.limits import Limits, Refusal
from reid_dml.text import printable

_KINDS = {  # how files begin
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"GIF87a": ".gif",
    b"GIF89a": ".gif",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}
# Decoded images are large: as many at a time as there are cores, so that memory does not grow with the requests.
_DECODING = threading.BoundedSemaphore(os.cpu_count() or 1)


@dataclass(frozen=True)
class Upload:
    """An image that was sent.

    Attributes:
        name: of the file, as it was sent; never used as a path.
        data: its bytes.
        kind: `.jpg`, `.png`, ...
        pixels: (H, W, 3) uint8 RGB at the stored size of the networks.
    """

    name: str
    data: bytes
    kind: str
    pixels: np.ndarray

    @property
    def picture(self) -> bytes:
        """A small JPEG for pages."""
        with _DECODING:
            return as_jpeg(decode_image(self.data, self.name), 320)


def image_kind(data: bytes) -> str:
    """The suffix of an image file of these bytes; empty for what is not taken, whatever decoders there are for it."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    return next((kind for start, kind in _KINDS.items() if data.startswith(start)), "")


def decode_upload(data: bytes, name: str, size: tuple[int, int], limits: Limits) -> Upload:
    """An image from its bytes.

    Args:
        data: of the file.
        name: as it was sent, for messages.
        size: stored size of the networks, height and width.
        limits: of pixels.

    Raises:
        Refusal: 422, for what is no image, a damaged one, or one of too many pixels.
    """
    shown = printable(os.path.basename(name.replace("\\", "/")))[:100] or "the image"
    if not data:
        raise Refusal(422, f"{shown}: is empty (0 bytes)")
    if not (kind := image_kind(data)):
        raise Refusal(422, f"{shown}: is not a JPEG, PNG, WebP, BMP, GIF or TIFF image")
    if not (header := image_size(data)):
        raise Refusal(422, f"{shown}: image is corrupt")
    if header[0] * header[1] > limits.image_pixels:
        raise Refusal(
            422,
            f"{shown}: image is too large ({header[0]:,} x {header[1]:,}, more than {limits.image_pixels:,} pixels)",
        )
    with _DECODING:
        try:
            pixels = decode_image(data, shown, limits.image_pixels)
        except BrokenImage as error:
            raise Refusal(422, f"{shown}: image is {error.why}") from None
        return Upload(shown, data, kind, resize_image(pixels, size))


def as_jpeg(pixels: np.ndarray, side: int) -> bytes:
    """A JPEG of an image (H, W, 3) uint8 RGB whose longer side is at most so long, without whatever its file said."""
    scale = side / max(pixels.shape[:2])
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not done:
        raise Refusal(422, "the image cannot be shown")
    return data.tobytes()
