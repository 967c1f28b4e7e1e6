"""PRCC (Yang et al., TPAMI 2021): every person in two outfits, one under cameras A and B, another under camera C.

Training images are `rgb/train/<person>/A_cropped_rgb001.jpg`, test images `rgb/test/A/<person>/cropped_rgb001.jpg`. The
gallery is camera A: queries of C wear other clothes than their matches, those of B the same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.drawn_splits import place_in_draw
from reid_dml.data.listing import list_folders
from reid_dml.data.records import ImageRecord, ReIDData
from reid_dml.data.sets import register_data
from reid_dml.data.sets.checks import check_data
from reid_dml.data.sets.found import Published, child, compare_counts, find_folder, inside, not_found
from reid_dml.data.sets.layouts import image_files
from reid_dml.data.sets.protocol import SECTION, ProtocolOptions
from reid_dml.errors import UserError

CAMERAS = {"A": 1, "B": 2, "C": 3}
_SEARCHING = {"changed": "C", "same": "B", "any": "BC"}
PUBLISHED = Published(
    {"train": 17_896, "test/A": 3_384, "test/B": 3_543, "test/C": 3_873},
    {"train": 150, "test/A": 71, "test/B": 71, "test/C": 71},
)


def read_prcc(root: Path, *, clothes: str = "changed") -> ReIDData:
    """The data set in its folder.

    Args:
        root: holds `rgb`.
        clothes: whose queries search, see `ProtocolOptions.clothes`.
    """
    found = {f"test/{camera}": _persons(inside(root, f"rgb/test/{camera}"), camera) for camera in CAMERAS}
    if child(root, "rgb/train"):
        found["train"] = _persons(inside(root, "rgb/train"))
    compare_counts(root, found, PUBLISHED)
    query = [record for camera in _SEARCHING[clothes] for record in found[f"test/{camera}"]]
    missing = "" if "train" in found else not_found(root / "rgb" / "train")
    return ReIDData("prcc", str(root), found.get("train", []), query, found["test/A"], missing=missing)


def one_each(records: Sequence[ImageRecord], split: int) -> list[ImageRecord]:
    """One drawn image of each person, in the order of persons."""
    own: dict[int, list[ImageRecord]] = {}
    for record in records:
        own.setdefault(record.person_id, []).append(record)
    return [
        min(found, key=lambda record: place_in_draw(split, f"prcc/{person}/{os.path.basename(record.path)}"))
        for person, found in sorted(own.items())
    ]


def _persons(folder: Path, camera: str = "") -> list[ImageRecord]:
    """Images in a folder of persons' folders; without a camera it is the first letter of their names."""
    records = []
    for name in list_folders(folder):
        if not name.isdigit() or not int(name):
            raise UserError(f"{folder / name}: folders of persons are called by their numbers; move it away")
        for path in image_files(folder / name):
            letter = camera or os.path.basename(path)[0].upper()
            if letter not in CAMERAS:
                raise UserError(f"{path}: the name is not like A_cropped_rgb001.jpg; rename or remove the file")
            records.append(ImageRecord(path, int(name), CAMERAS[letter]))
    if not records:
        raise UserError(f"{folder}: holds no folders of persons; unpack the data set again (see datasets/README.md)")
    return records


@register_data(
    "prcc", task="retrieval", section=SECTION, options=ProtocolOptions, protocol=("SPLIT", "CLOTHES", "SINGLE_SHOT")
)
def load_prcc(cfg: CfgNode) -> ReIDData:
    """PRCC; its validation images, of the training persons, are not read."""
    root = find_folder(cfg.DATA.ROOT, ("prcc",), [f"rgb/test/{camera}" for camera in CAMERAS])
    data = read_prcc(root, clothes=cfg.PROTOCOL.CLOTHES)
    if cfg.PROTOCOL.SINGLE_SHOT:
        data = replace(data, gallery=one_each(data.gallery, cfg.PROTOCOL.SPLIT))
    return check_data(data, cameras=cfg.DATA.CAMERAS)
