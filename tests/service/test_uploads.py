"""Images that nobody should send: each is one line and 422, or is read as it is meant; none is a 500."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from PIL import Image

from reid_dml.service.limits import Limits
from reid_dml.service.uploads import decode_upload
from tests.service.conftest import person

SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(mode: str = "RGB", size: tuple[int, int] = (32, 64)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), np.uint8)).convert(mode)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def malformed() -> dict[str, bytes]:
    found = {
        "empty": b"",
        "text": b"no image",
        "svg": SVG,
        "html": b"<html><script>alert(1)</script>",
        "zeros": bytes(999),
    }
    found["pdf"], found["zip"], found["exe"] = b"%PDF-1.7\n" + bytes(99), b"PK\3\4" + bytes(99), b"MZ" + bytes(99)
    found["hdr"] = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 9 +X 9\n" + bytes(400)
    found["ppm"] = b"P6 4 4 255\n" + bytes(48)
    found["bomb.png"] = png(30_000, 30_000, zlib.compress(bytes(10_000_000)))
    found["wide.png"] = png(2**31 - 1, 1, zlib.compress(bytes(1000)))
    found["none.png"] = png(0, 0, zlib.compress(b""))
    found["bomb.bmp"] = b"BM" + struct.pack(
        "<IHHIIiiHHIIiiII", 10**6, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0
    )
    found["bomb.gif"] = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + bytes(50)
    whole = {
        "jpg": saved(picture(), "JPEG"),
        "progressive.jpg": saved(picture(), "JPEG", progressive=True),
        "cmyk.jpg": saved(picture("CMYK"), "JPEG"),
        "png": person(1),
        "webp": saved(picture(), "WEBP"),
        "gif": saved(picture("P"), "GIF"),
        "tif": saved(picture(), "TIFF"),
        "bmp": saved(picture(), "BMP"),
    }
    for name, data in whole.items():
        for share in (0.02, 0.3, 0.7):
            found[f"{share}.{name}"] = data[: int(share * len(data))]
        found[f"header.{name}"] = data[:12]
        found[f"zero.{name}"] = data[: len(data) // 3] + bytes(len(data) - len(data) // 3)
    return found


MALFORMED = malformed()
MEANT = {
    "cmyk.jpg": saved(picture("CMYK"), "JPEG"),
    "grey.jpg": saved(picture("L"), "JPEG"),
    "16 bit.png": cv2.imencode(".png", np.full((64, 32, 3), 40_000, np.uint16))[1].tobytes(),
    "16 bit grey.tif": saved(Image.fromarray(np.full((64, 32), 40_000, np.uint16)), "TIFF"),
    "transparent.png": saved(picture("RGBA"), "PNG"),
    "palette.png": saved(picture("P"), "PNG"),
    "1 bit.png": saved(picture("1"), "PNG"),
    "animated.gif": saved(picture(), "GIF", save_all=True, append_images=[picture()] * 3),
    "animated.webp": saved(picture(), "WEBP", save_all=True, append_images=[picture()] * 3),
    "animated.png": saved(picture(), "PNG", save_all=True, append_images=[picture()] * 3),
    "pages.tif": saved(picture(), "TIFF", save_all=True, append_images=[picture()] * 3),
    "tiny.png": saved(picture(size=(1, 1)), "PNG"),
    "long.png": saved(picture(size=(1, 5000)), "PNG"),
}


def test_there_are_many():
    assert len(MALFORMED) >= 50


def test_malformed_images_are_one_line(client):
    one = client()
    for name, data in MALFORMED.items():
        for path in ("/v1/embed", "/v1/gallery"):
            answer = one.post(path, files={"images": (name, data, "image/png")})
            if answer.status_code == 200:  # a decoder may make something of the half of some kinds; so does the library
                assert name[0] in "0z", name
                continue
            assert answer.status_code == 422, (name, answer.text)
            assert answer.json()["error"].startswith(f"{name}: "), name
            assert "\n" not in answer.json()["error"]
    assert one.get("/readyz").status_code == 200


@pytest.mark.parametrize("name", MEANT)
def test_unusual_images_are_read(client, name):
    answer = client().post("/v1/embed", files={"images": (name, MEANT[name], "image/png")})
    assert answer.status_code == 200, answer.text
    assert np.isfinite(answer.json()["features"]).all()


def test_a_rotated_photo_is_seen_upright():
    upright = Image.fromarray(np.linspace(0, 255, 80 * 40 * 3).reshape(80, 40, 3).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    turned = saved(upright.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)
    found = decode_upload(turned, "a.jpg", (80, 40), Limits()).pixels.astype(int)
    assert np.abs(found - np.asarray(upright)).mean() < 5


def test_names_are_shown_without_folders_and_control_characters(client):
    name = "../../etc/\x1b[31mpasswd"
    answer = client().post("/v1/embed", files={"images": (name, b"nothing", "image/png")})
    assert answer.status_code == 422
    assert "etc" not in answer.text
    assert "\x1b" not in answer.json()["error"]


def test_an_image_of_too_many_pixels_is_refused_by_its_header(client):
    one = client(limits=Limits(image_pixels=2000))
    answer = one.post("/v1/embed", files={"images": ("a.png", person(1), "image/png")})
    assert answer.json()["error"] == "a.png: image is too large (32 x 64, more than 2,000 pixels)"
