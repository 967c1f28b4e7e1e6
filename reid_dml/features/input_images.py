"""Images in whatever form a program has them: paths, PIL images or arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from reid_dml.data.images import PIXEL_LIMIT, check_size, read_image, to_stored
from reid_dml.data.records import UNKNOWN_CAMERA, UNKNOWN_PERSON, ImageRecord
from reid_dml.data.stored import StoredImages
from reid_dml.paths import given_path

if TYPE_CHECKING:
    from PIL.Image import Image

InputImage: TypeAlias = "np.ndarray | Image | str | os.PathLike[str]"


class InputImages(StoredImages):
    """Paths, PIL images or arrays, mixed as one likes, converted and resized at every reading.

    Messages call them by their path, or `image 3` (counted from 0).

    Args:
        images: the images.
        size: height, width.
        pixel_limit: largest width x height of a file; larger ones are refused.
    """

    def __init__(self, images: Sequence[InputImage], size: Sequence[int], pixel_limit: int = PIXEL_LIMIT) -> None:
        names = [
            str(image) if isinstance(image, (str, os.PathLike)) else f"image {number}"
            for number, image in enumerate(images)
        ]
        self.images = [given_path(image) if isinstance(image, (str, os.PathLike)) else image for image in images]
        super().__init__([ImageRecord(name, UNKNOWN_PERSON, UNKNOWN_CAMERA) for name in names], size)
        self.pixel_limit = pixel_limit

    def read(self, rows: Sequence[int] | np.ndarray, out: np.ndarray) -> None:
        for place, row in enumerate(rows):
            try:
                pixels = as_rgb(self.images[row], self.pixel_limit)
            except ValueError as error:
                raise ValueError(f"{self.records[row].path}: {error}") from None
            out[place] = to_stored(pixels, self.size)


def as_rgb(image: InputImage, pixel_limit: int = PIXEL_LIMIT) -> np.ndarray:
    """One image as (H, W, 3) uint8 RGB.

    PIL images of more than 8 bits are grey: of mode `I;16` the upper byte is taken, as `read_image` does with such
    files. Modes `I` (32-bit integers) and `F` (floating point) say nothing of their range: values from 0 to 255 are
    grey levels (of `F` rounded), values up to 65,535 those of 16 bits.

    Raises:
        UserError: a file that cannot be read. ValueError: an array of another shape or type, something that is no
        image, a PIL image without pixels or of a truncated file, or an image of mode `I` or `F` whose values lie
        elsewhere, or, so that it would be black, all below 1.
    """
    if isinstance(image, (str, os.PathLike)):
        return read_image(image, pixel_limit)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"an array must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")
        return image
    if not hasattr(image, "convert"):
        raise ValueError(f"an image must be a path, a PIL image or an array, got {type(image).__name__}")
    check_size(*image.size, "PIL image", pixel_limit)
    if not all(image.size):
        raise ValueError(f"a PIL image must have pixels, got {image.size[0]} x {image.size[1]}")
    from PIL import ImageOps  # comes with torchvision and timm

    try:
        upright = ImageOps.exif_transpose(image)
        upright.load()  # the first time, of an image that was only opened, it decodes the file
    except Exception as error:  # the decoders fail in a dozen ways
        raise ValueError(f"a PIL image cannot be decoded ({error}); its file may be truncated or closed") from None
    if image.mode[0] not in "IF":
        return np.asarray(upright.convert("RGB"))
    grey = _grey_levels(np.asarray(upright), image.mode)
    return np.repeat(grey[..., None], 3, axis=2)


def _grey_levels(values: np.ndarray, mode: str) -> np.ndarray:
    """The grey levels (H, W) uint8 of a PIL image whose values have more than 8 bits."""
    if mode.startswith("I;16"):
        return (values >> 8).astype(np.uint8)
    low, high = values.min(), values.max()
    if not 0 <= low <= high <= 65535:  # not true of NaN either
        raise ValueError(
            f"a PIL image of mode {mode} must hold grey levels from 0 to 255 or of 16 bits, got {low:g} to {high:g}; "
            "scale it and convert it to mode L"
        )
    if mode == "F" and 0 < high <= 1:
        raise ValueError(
            f"a PIL image of mode F with values from {low:g} to {high:g} would be black; multiply it by 255 and "
            "convert it to mode L"
        )
    return np.rint(values if np.rint(high) <= 255 else np.floor(values / 256)).astype(np.uint8)
