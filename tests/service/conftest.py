"""A service of a small gallery, with networks that are as quick as simple: a feature is the picture at 4 x 2 pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from reid_dml.data.records import ImageRecord
from reid_dml.features.feature_set import FeatureSet
from reid_dml.search.build import build_index
from reid_dml.search.sources import FeatureSets

MODEL = "0" * 32
IMAGES = 12


class Networks:
    """Stands for a `FeatureExtractor`."""

    model = MODEL
    cfg: Any = SimpleNamespace(DATA=SimpleNamespace(STORED_SIZE=(32, 16)))

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        small = [cv2.resize(image, (2, 4), interpolation=cv2.INTER_AREA).ravel() for image in images]
        features = np.stack(small).astype(np.float32) + 1
        return features / np.linalg.norm(features, axis=1, keepdims=True)


def person(number: int, suffix: str = ".png", size: tuple[int, int] = (64, 32)) -> bytes:
    """The file of an image that no other number has."""
    noise = np.random.default_rng(number).integers(0, 255, (8, 4, 3), np.uint8)
    return cv2.imencode(suffix, cv2.resize(noise, size[::-1], interpolation=cv2.INTER_NEAREST))[1].tobytes()


def gallery_features(folder: Path, numbers: Sequence[int], model: str = MODEL) -> FeatureSet:
    """Features of such images, whose files are in the folder: cameras 1 to 3, a minute apart."""
    from reid_dml.data.images import read_image, resize_image

    (folder / "files").mkdir(exist_ok=True)
    records = []
    for number in numbers:
        path = folder / "files" / f"{number:04}<b>.png"
        path.write_bytes(person(number))
        time = f"2026-01-31T12:{number % 60:02}:00"
        records.append(ImageRecord(str(path), number, 1 + number % 3, None, time, "", ["", "hall", ""][number % 3]))
    pixels = [resize_image(read_image(record.path), (32, 16)) for record in records]
    return FeatureSet.of(Networks()(pixels), records, model)


def build_gallery(folder: Path, numbers: Sequence[int], *, model: str = MODEL, **options: Any) -> Path:
    """An index of such images."""
    build_index(folder / "g.index", FeatureSets([gallery_features(folder, numbers, model)]), **options)
    return folder / "g.index"


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """The index of the images 0 to 11."""
    return build_gallery(tmp_path, range(IMAGES))


def open_service(gallery: Path, networks: Any = None, *, store: bool = True, **options: Any) -> Any:
    from reid_dml.service.image_store import ImageStore
    from reid_dml.service.live_gallery import LiveGallery
    from reid_dml.service.service import Service

    networks = networks or Networks()
    live = LiveGallery.of_place(gallery, networks.model)
    return Service(networks, live, store=ImageStore(f"{gallery}.images") if store else None, **options)


@pytest.fixture
def client(gallery: Path) -> Iterator[Callable[..., Any]]:
    """A function that opens a client of a service of the gallery."""
    from starlette.testclient import TestClient

    from reid_dml.service.app import create_app

    opened = []

    def make(networks: Any = None, *, token: str = "", hosts: Sequence[str] = ("testserver",), **options: Any) -> Any:
        app = create_app(open_service(gallery, networks, **options), token=token, hosts=hosts)
        opened.append(TestClient(app, follow_redirects=False))
        return opened[-1].__enter__()

    yield make
    for one in opened:
        one.__exit__(None, None, None)


def files(*numbers: int, field: str = "images") -> list[Any]:
    """Images for a form."""
    return [(field, (f"{number}.png", person(number), "image/png")) for number in numbers]
