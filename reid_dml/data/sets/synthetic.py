"""Synthetic pedestrians in Market layout, drawn from a seed: a data set that every machine can make by itself.

Identities differ in clothing colours, patterns, hair, build and bags; cameras in colour cast, exposure, blur,
viewpoint, background, occlusion and crop. The drawing itself is in `reid_dml/data/sets/pedestrians.py`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from yacs.config import CfgNode

from reid_dml.data.records import ReIDData
from reid_dml.data.sets import DEFAULT_ROOT, register_data
from reid_dml.data.sets.checks import check_data
from reid_dml.data.sets.market1501 import MARKET, market_layout
from reid_dml.data.sets.pedestrians import DRAWING, Camera, Pedestrian, draw
from reid_dml.files import save_folder, user_cache
from reid_dml.options import Component, Refuse, option

TERMS = "The images are drawn by reid_dml from a seed and show nobody; there are no terms."
_JUNK_PER_CAMERA = 8
_MOST_IMAGES = 2_000_000
_DISTRACTORS_PER_TEST_IDENTITY = 2


@dataclass(frozen=True)
class SyntheticOptions(Component):
    """What is drawn."""

    train_identities: int = option(80, "identities to train on", least=1, most=100_000)
    test_identities: int = option(60, "further identities to search for", least=1, most=100_000)
    cameras: int = option(4, "cameras, each with its own colour cast, exposure, blur and viewpoint", most=1000)
    images_per_camera: int = option(3, "images of one identity in one camera", most=1000)
    seed: int = option(0, "the drawing's own seed: the same data for every training seed", least=0)

    def check(self, cfg: CfgNode, refuse: Refuse) -> None:
        if self.images_per_camera < 2:
            refuse("SYNTHETIC.IMAGES_PER_CAMERA", "must be at least 2: one for the query split, others for the gallery")
        if self.cameras < 2:
            refuse("SYNTHETIC.CAMERAS", "must be at least 2: a match from the query's own camera does not count")
        images = (self.train_identities + self.test_identities) * self.cameras * self.images_per_camera
        if images > _MOST_IMAGES:
            refuse("SYNTHETIC.CAMERAS", f"makes {images:,} images of so many identities; draw {_MOST_IMAGES:,} at most")


@register_data("synthetic", task="retrieval", section="SYNTHETIC", options=SyntheticOptions, terms=TERMS)
def load_synthetic(cfg: CfgNode) -> ReIDData:
    """Draw the data set below `DATA.ROOT` unless it is there already, then read it like Market-1501.

    Where no root is named and there is no folder `datasets` to stand in, it goes to the user's cache.
    """
    options = {key.lower(): value for key, value in cfg.SYNTHETIC.items()}
    fingerprint = hashlib.sha256(json.dumps([DRAWING, options], sort_keys=True).encode()).hexdigest()[:8]
    root = drawing_folder(cfg.DATA.ROOT) / f"synthetic-pedestrians-{fingerprint}"
    if not root.is_dir():
        try:
            save_folder(root, lambda draft: write_pedestrians(draft, **options))
        except OSError:
            if not root.is_dir():  # else another process was faster and wrote the same images
                raise
    return check_data(market_layout("synthetic").read(root), cameras=cfg.DATA.CAMERAS)


def drawing_folder(root: str) -> Path:
    """Where drawn images go: the root, or the user's cache if the root is the default and not there."""
    return Path(root) if root != DEFAULT_ROOT or Path(root).is_dir() else user_cache() / "datasets"


def write_pedestrians(
    root: Path, *, train_identities: int, test_identities: int, cameras: int, images_per_camera: int, seed: int
) -> None:
    """Write the four folders of a Market layout with PNG images of 128 x 64 pixels.

    Of each test identity and camera, one image goes to `query`, the others to `bounding_box_test`, and all of them
    with one more of its own to `gt_bbox`. Distractors (person 0) are other identities; junk (-1) is badly cropped.

    Args:
        root: gets the folders; none of them may be there.
        train_identities, test_identities: persons of `bounding_box_train`, and further ones of the other folders.
        cameras: each sees every person.
        images_per_camera: of each person.
        seed: from which every image follows.
    """
    splits = MARKET.splits
    for folder in splits.values():
        (root / folder).mkdir(parents=True)
    views = [Camera.of(seed, number) for number in range(1, cameras + 1)]

    def write(folder: str, person: int, view: Camera, frame: int, identity: int | None = None, crop: float = 1) -> None:
        rng = np.random.default_rng([seed, (identity or person) + 1, view.number, frame])
        image = draw(Pedestrian.of(seed, identity or person), view, rng, crop=crop)
        name = f"{'-1' if person == -1 else f'{person:04d}'}_c{view.number}s1_{frame:06d}_00.png"
        data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
        (root / folder / name).write_bytes(data.tobytes())  # unlike imwrite, it fails loudly on a full disk

    for person in range(1, train_identities + 1):
        for view in views:
            for frame in range(images_per_camera):
                write(splits["train"], person, view, frame)
    for person in range(train_identities + 1, train_identities + test_identities + 1):
        for view in views:
            for frame in range(images_per_camera):
                write(splits["query"] if frame == 0 else splits["gallery"], person, view, frame)
            for frame in range(images_per_camera + 1):
                write(splits["gt_bbox"], person, view, frame)
    others = train_identities + test_identities + 1  # identities nobody searches for
    for number in range(_DISTRACTORS_PER_TEST_IDENTITY * test_identities):
        write(splits["gallery"], 0, views[number % cameras], number, identity=others + number)
    for view in views:
        for number in range(_JUNK_PER_CAMERA):
            identity = train_identities + 1 + number % test_identities
            write(splits["gallery"], -1, view, number, identity=identity, crop=0.45)
