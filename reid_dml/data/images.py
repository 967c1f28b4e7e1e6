"""Reading image files: decode, check, resize. Every image of the library passes through here."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from reid_dml.data.decoder_messages import DecoderMessages
from reid_dml.data.image_header import image_size
from reid_dml.data.listing import list_images as list_images
from reid_dml.data.videos import frame_size, read_frame, split_frame
from reid_dml.errors import UserError, absolute

PIXEL_LIMIT = 178_956_970  # width x height; where Pillow begins to suspect a decompression bomb
NO_LIMIT = 2**62  # for images that were read before
_OPENCV_PIXELS, _OPENCV_SIDE = 2**30, 2**20  # OpenCV decodes nothing larger
_ABSENT = "not found"
REMEDY = "copy it again from where it came from, remove it, or leave it out with DATA.SKIP_BROKEN True"

# OpenCV would share out larger images over a pool of its own, beside the threads that read images for us.
cv2.setNumThreads(1)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a broken file is reported once, by us
_MESSAGES = DecoderMessages()


class BrokenImage(UserError):
    """An image that cannot be used.

    Args:
        path: of the image.
        why: read behind "image is".
        remedy: what the message tells to do.
    """

    def __init__(self, path: str | os.PathLike[str], why: str, remedy: str = REMEDY) -> None:
        super().__init__(f"{absolute(path)}: image {'' if why == _ABSENT else 'is '}{why}; {remedy}")
        self.path, self.why = absolute(path), why


def absent_image(path: str | os.PathLike[str]) -> BrokenImage:
    """The error of a file that is not there."""
    if os.path.islink(path):
        return BrokenImage(path, f"a link to {os.readlink(path)}, which is not there", "mend or remove it")
    return BrokenImage(path, _ABSENT, "check the path or the list that names it")


def read_image(path: str | os.PathLike[str], pixel_limit: int = PIXEL_LIMIT) -> np.ndarray:
    """The image, or frame of a video, as (H, W, 3) uint8 RGB. Raises `BrokenImage` as `decode_image` does."""
    if "#" in os.fspath(path) and (frame := split_frame(path)):
        check_size(*frame_size(frame[0]), path, pixel_limit)
        image = read_frame(*frame)
        if image is None:
            raise BrokenImage(path, "behind the end of the video")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return decode_image(read_file(path), path, pixel_limit)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of an image file. Raises `BrokenImage` if there is none, or if it is empty."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise absent_image(path) from None
    except IsADirectoryError:
        raise BrokenImage(path, "a folder", "name an image file") from None
    if not data:
        raise BrokenImage(path, "empty (0 bytes)")
    return data


def decode_image(data: bytes, path: str | os.PathLike[str], pixel_limit: int = PIXEL_LIMIT) -> np.ndarray:
    """The image in these bytes of a file, of moving pictures the first frame, as (H, W, 3) uint8 RGB.

    Args:
        data: of the file.
        path: of the file, for errors.
        pixel_limit: largest width x height, asked of the header before anything is decoded.

    Raises:
        BrokenImage: truncated, corrupt, damaged inside, too large, or no image at all.
    """
    if size := image_size(data):
        check_size(size[0], size[1], path, pixel_limit)
    # A JPEG that ends too early OpenCV (4.11, 5.0) refuses; one whose end is zeros, as copies that broke off leave
    # them, it decodes with something in place of the missing part. Neither has the end marker.
    if data[:2] == b"\xff\xd8" and data.rfind(b"\xff\xd9") < 0:
        raise BrokenImage(path, "truncated")
    try:
        image, said = _MESSAGES.decode(data)
    except cv2.error:
        image, said = None, ""
    if image is None:
        raise BrokenImage(path, "corrupt or not an image")
    if said and not said.endswith("extraneous bytes before marker 0xd9"):
        raise BrokenImage(path, f"damaged inside ({said})")
    if said:  # some cameras write such bytes at the end: the image may be whole
        warnings.warn(f"{absolute(path)}: image may be damaged inside ({said}); look at it", stacklevel=2)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def check_size(width: int, height: int, name: str | os.PathLike[str], pixel_limit: int) -> None:
    """Raise `BrokenImage` for an image of too many pixels to decode.

    Args:
        width, height: in pixels.
        name: what messages call it.
        pixel_limit: largest width x height.
    """
    if width * height > min(pixel_limit, _OPENCV_PIXELS) or max(width, height) > _OPENCV_SIDE:
        of_opencv = width * height <= pixel_limit
        limit = "OpenCV reads" if of_opencv else f"the {pixel_limit:,} pixels of DATA.PIXEL_LIMIT"
        remedy = "scale it down" if of_opencv else "scale it down, or raise the limit if you trust the file"
        raise BrokenImage(name, f"too large ({width:,} x {height:,}, more than {limit})", remedy)


def resize_image(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Resize (H, W, 3) uint8 to size = (height, width), bilinear; antialiased along every side that shrinks.

    There every pixel has a say, where a plain bilinear resize looks at two of those that become one and makes coarse
    patterns of fine ones: by area where both sides shrink to half or less, else as Pillow and torchvision's `Resize`.
    """
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    if image.shape[0] <= height and image.shape[1] <= width:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    if image.shape[0] >= 2 * height and image.shape[1] >= 2 * width:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    from PIL import Image  # slow to import, and few sets of persons need it

    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def to_stored(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """An image (H, W, 3) as it is kept: (3, height, width) uint8."""
    return np.ascontiguousarray(resize_image(image, size).transpose(2, 0, 1))
