"""Small data sets whose persons are divided at random into half to train on and half to test: VIPeR, CUHK01, PRID-2011,
i-LIDS; and GRID, whose ten divisions are given.

Papers report the mean of ten draws. Ours are `PROTOCOL.SPLIT` 0 ... 9 (and on), which follow from that number and the
persons' own: the same on every machine. (The draws of other toolkits come from a generator that nobody seeded, and are
not to be had.)
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from yacs.config import CfgNode

from reid_dml.data.drawn_splits import place_in_draw
from reid_dml.data.records import DISTRACTOR, UNKNOWN_CAMERA, ImageRecord, ReIDData
from reid_dml.data.sets import register_data
from reid_dml.data.sets.checks import check_data
from reid_dml.data.sets.found import Published, compare_counts, find_folder, inside
from reid_dml.data.sets.layouts import counted_from_one, read_images
from reid_dml.data.sets.protocol import SECTION, ProtocolOptions
from reid_dml.errors import UserError

logger = logging.getLogger(__name__)

_GIVEN = 10  # of GRID
_VIEWS = (1, 2)
_PRID_IN_BOTH = 200  # persons of PRID-2011 by number that are the same in both cameras


def _read(folder: Path, pattern: str, example: str, *, camera: int | None = None) -> list[ImageRecord]:
    return read_images(folder, re.compile(pattern), f"is not like {example}", camera=camera)


def _half(persons: Iterable[int], name: str, split: int) -> set[int]:
    """The smaller half of some persons, drawn to train on."""
    order = sorted(set(persons), key=lambda person: place_in_draw(split, f"{name}/{person}"))
    return set(order[: len(order) // 2])


def _data(
    cfg: CfgNode,
    name: str,
    root: Path,
    records: Mapping[str, Sequence[ImageRecord]],
    *,
    names: Mapping[int, str] | None = None,
) -> ReIDData:
    """The checked data set.

    Args:
        cfg: the config.
        name: of the data set.
        root: where it lies.
        records: the splits.
        names: of the persons, where their numbers are ours.
    """
    train, tested = (len({r.person_id for r in records[split]}) for split in ("train", "query"))
    logger.info(
        "%s: split %d of PROTOCOL.SPLIT: %d identities to train on, %d to search for", root, cfg.PROTOCOL.SPLIT, train,
        tested,
    )  # fmt: skip
    splits = (records[split] for split in ("train", "query", "gallery"))
    return check_data(ReIDData(name, str(root), *splits, original_ids=names or {}), cameras=cfg.DATA.CAMERAS)


def _two_views(cfg: CfgNode, name: str, root: Path, images: Sequence[ImageRecord]) -> ReIDData:
    """Half of the persons to train on; of the others one view searches in the other."""
    trained = _half((record.person_id for record in images), name, cfg.PROTOCOL.SPLIT)
    searching, searched = reversed(_VIEWS) if cfg.PROTOCOL.SWAP_VIEWS else _VIEWS
    tested = [record for record in images if record.person_id not in trained]
    splits = {
        "train": [record for record in images if record.person_id in trained],
        "query": [record for record in tested if record.camera_id == searching],
        "gallery": [record for record in tested if record.camera_id == searched],
    }
    names = {record.person_id: record.person for record in images} if images[0].person else None
    return _data(cfg, name, root, splits, names=names)


@register_data("viper", task="retrieval", section=SECTION, options=ProtocolOptions, protocol=("SPLIT", "SWAP_VIEWS"))
def load_viper(cfg: CfgNode) -> ReIDData:
    """VIPeR (Gray et al., PETS 2007): 632 persons, an image in each of two views; 316 to train on, 316 to test."""
    root = find_folder(cfg.DATA.ROOT, ("VIPeR", "VIPeR.v1.0"), ["cam_a", "cam_b"])
    views = {
        view: _read(inside(root, folder), r"(?P<person>\d{1,9})_", "000_45.bmp", camera=view)
        for view, folder in zip(_VIEWS, ("cam_a", "cam_b"), strict=True)
    }
    compare_counts(root, {"cam_a": views[1], "cam_b": views[2]}, Published({"cam_a": 632, "cam_b": 632}))
    both = set.intersection(*({record.person_id for record in found} for found in views.values()))
    images = counted_from_one(r for found in views.values() for r in found if r.person_id in both)
    return _two_views(cfg, "viper", root, images) if images else _nobody(root)


@register_data("cuhk01", task="retrieval", section=SECTION, options=ProtocolOptions, protocol=("SPLIT", "SWAP_VIEWS"))
def load_cuhk01(cfg: CfgNode) -> ReIDData:
    """CUHK01 (Li et al., ACCV 2012): 971 persons, two images in each of two views; 485 to train on, 486 to test.

    Images 1 and 2 of a person are of one view, 3 and 4 of the other; all of them search and are searched.
    """
    root = find_folder(cfg.DATA.ROOT, ("CUHK01",), ["campus"])
    found = _read(inside(root, "campus"), r"(?P<person>\d{4})(?P<camera>\d{3})\.", "0001001.png")
    images = [record._replace(camera_id=(record.camera_id + 1) // 2) for record in found]
    compare_counts(root, {"campus": images}, Published({"campus": 3_884}, {"campus": 971}))
    return _two_views(cfg, "cuhk01", root, images)


@register_data("prid2011", task="retrieval", section=SECTION, options=ProtocolOptions, protocol=("SPLIT",))
def load_prid2011(cfg: CfgNode) -> ReIDData:
    """PRID-2011 (Hirzer et al., SCIA 2011), single shot: persons 1 ... 200 are in both cameras, 100 to train on.

    The other 100 search by camera a in camera b, among the 549 persons that only camera b saw. Numbers above 200 are
    counted in each camera by itself: 201 of camera a, who is in no split, is another person than 201 of camera b.
    """
    root = find_folder(cfg.DATA.ROOT, ("prid_2011", "prid2011", "prid"), ["single_shot/cam_a", "single_shot/cam_b"])
    views = {
        view: _read(inside(root, f"single_shot/{folder}"), r"person_(?P<person>\d{4})", "person_0001.png", camera=view)
        for view, folder in zip(_VIEWS, ("cam_a", "cam_b"), strict=True)
    }
    compare_counts(root, {"cam_a": views[1], "cam_b": views[2]}, Published({"cam_a": 385, "cam_b": 749}))
    both = {record.person_id for record in views[1]} & {record.person_id for record in views[2]}
    both = {person for person in both if person <= _PRID_IN_BOTH}
    trained = _half(both, "prid2011", cfg.PROTOCOL.SPLIT)
    splits = {
        "train": [record for found in views.values() for record in found if record.person_id in trained],
        "query": [record for record in views[1] if record.person_id in both - trained],
        "gallery": [record for record in views[2] if record.person_id not in trained],
    }
    return _data(cfg, "prid2011", root, splits)


@register_data("ilids", task="retrieval", section=SECTION, options=ProtocolOptions, protocol=("SPLIT",))
def load_ilids(cfg: CfgNode) -> ReIDData:
    """QMUL i-LIDS (Zheng et al., BMVC 2009): 119 persons, 59 to train on; of each other one image searches for one.

    Its cameras are not given: they are unknown, so that every image of a person is a match.
    """
    root = find_folder(cfg.DATA.ROOT, ("i-LIDS_Pedestrian", "ilids"), ["Persons"])
    images = _read(inside(root, "Persons"), r"(?P<person>\d{4})\d{3}\.", "0001001.jpg", camera=UNKNOWN_CAMERA)
    compare_counts(root, {"Persons": images}, Published({"Persons": 476}, {"Persons": 119}))
    own: dict[int, list[ImageRecord]] = {}
    for record in images:
        own.setdefault(record.person_id, []).append(record)
    split = cfg.PROTOCOL.SPLIT
    trained = _half(own, "ilids", split)
    drawn = {
        person: sorted(found, key=lambda record: place_in_draw(split, f"ilids/{os.path.basename(record.path)}"))
        for person, found in own.items()
        if person not in trained and len(found) > 1
    }
    splits = {
        "train": [record for record in images if record.person_id in trained],
        "query": [found[0] for found in drawn.values()],
        "gallery": [found[1] for found in drawn.values()],
    }
    return _data(cfg, "ilids", root, splits)


@register_data("grid", task="retrieval", section=SECTION, options=ProtocolOptions, protocol=("SPLIT",))
def load_grid(cfg: CfgNode) -> ReIDData:
    """QMUL underGround Re-Identification (Loy et al., CVPR 2009): 250 persons, 125 to train on, in ten given divisions.

    The gallery also holds 775 images of nobody else, whose person is 0: distractors.
    """
    root = find_folder(cfg.DATA.ROOT, ("underground_reid", "grid"), ["probe", "gallery", "features_and_partitions.mat"])
    name, example = r"(?P<person>\d{4})_(?P<camera>\d{1,2})_", "0001_1_25004_107_32_106_221.jpeg"
    sides = {side: _read(inside(root, side), name, example) for side in ("probe", "gallery")}
    compare_counts(root, sides, Published({"probe": 250, "gallery": 1_025}, {"probe": 250, "gallery": 250}))
    trained = _given_division(root / "features_and_partitions.mat", cfg.PROTOCOL.SPLIT)
    splits = {
        "train": [record for found in sides.values() for record in found if record.person_id in trained],
        "query": [record for record in sides["probe"] if record.person_id not in trained],
        "gallery": [record for record in sides["gallery"] if record.person_id not in trained],
    }
    return _data(cfg, "grid", root, splits)


def _given_division(file: Path, split: int) -> set[int]:
    """The persons to train on, of GRID's own division."""
    from scipy.io import loadmat  # takes its time

    if split >= _GIVEN:
        raise UserError(f"PROTOCOL.SPLIT: {split}: GRID gives {_GIVEN} divisions, 0 to {_GIVEN - 1}")
    try:
        division = loadmat(str(file), variable_names=["trainIdxAll"])["trainIdxAll"].ravel()[split]
        persons = np.asarray(division.ravel()[0][2]).ravel()
        found = {int(person) for person in persons}
    except Exception as error:  # a damaged MATLAB file makes its reader fail in many ways
        raise UserError(f"{file}: not GRID's divisions ({error}); unpack underground_reid.zip again") from None
    if not found or min(found) <= DISTRACTOR:
        raise UserError(f"{file}: trainIdxAll names no persons; unpack underground_reid.zip again")
    return found


def _nobody(root: Path) -> ReIDData:
    raise UserError(f"{root}: no person is in both views; names begin with the person's number, like 000_45.bmp")
