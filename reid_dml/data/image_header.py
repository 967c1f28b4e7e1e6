"""Width and height of an image from the header of its file, before anything is decoded."""

from __future__ import annotations

import struct
from io import BytesIO

_BY_PILLOW = ("GIF", "BMP", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM")


def image_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of the image in these bytes; None where the header does not tell."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return struct.unpack(">II", data[16:24]) if len(data) >= 24 else None
    if data[:2] == b"\xff\xd8":
        return _jpeg_size(data)
    from PIL import Image

    Image.init()
    for name in _BY_PILLOW:
        if name not in Image.OPEN:
            continue
        factory, accepts = Image.OPEN[name]
        if accepts is None or not (fits := accepts(data[:16])) or isinstance(fits, str):
            continue
        try:
            return factory(BytesIO(data), "").size  # unlike `Image.open`, which has a limit of its own
        except Exception:  # a damaged header makes Pillow fail in many ways; OpenCV will say that there is no image
            return None
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Of the first frame header (SOF0 to SOF15); segments before it are skipped, as are bytes between them."""
    place = 2
    while (place := data.find(b"\xff", place)) >= 0:
        marker = data[place + 1 : place + 2]
        if not marker:
            return None
        number = marker[0]
        if 0xC0 <= number <= 0xCF and number not in (0xC4, 0xC8, 0xCC):
            if len(data) < place + 9:
                return None
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        if number == 0xFF:
            place += 1
        elif number in (0x00, 0x01) or 0xD0 <= number <= 0xD8:
            place += 2
        else:
            if len(data) < place + 4:
                return None
            place += 2 + max(2, data[place + 2] << 8 | data[place + 3])
    return None
