"""MSMT17 (Wei et al., CVPR 2018): version 1, and version 2, whose faces are blurred. Lists say which image is of whom.

Names look like `0000/0000_001_02_0303morning_0015_0.jpg`: person 0000 of its folder, camera 02. Persons of the training
and of the test folder are counted from 0 each, and are not the same.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.records import ImageRecord, ReIDData
from reid_dml.data.sets import register_data
from reid_dml.data.sets.checks import check_data
from reid_dml.data.sets.found import (
    Published,
    child,
    compare_counts,
    find_folder,
    locate,
    not_found,
    read_text_lines,
)
from reid_dml.data.sets.protocol import SECTION, ProtocolOptions
from reid_dml.errors import UserError

_CAMERA = re.compile(r"[^_]*_[^_]*_(\d{1,4})_")
_LISTS = ("list_query.txt", "list_gallery.txt")
# Version: names of the folder, and of the folders of training and test images.
VERSIONS = {
    "msmt17_v1": (("MSMT17_V1", "MSMT17"), ("train", "test")),
    "msmt17_v2": (("MSMT17_V2", "MSMT17"), ("mask_train_v2", "mask_test_v2")),
}
_PERSONS = {"train": 1_041, "query": 3_060, "gallery": 3_060}
PUBLISHED = {
    "train": Published({"train": 32_621, "query": 11_659, "gallery": 82_161}, _PERSONS),
    "leave_out": Published({"train": 30_248, "query": 11_659, "gallery": 82_161}, _PERSONS),
}
_register = partial(
    register_data,
    task="retrieval",
    section=SECTION,
    options=ProtocolOptions,
    protocol=("VALIDATION",),
    terms="MSMT17 (Wei et al., CVPR 2018) is for those who signed its authors' release agreement.",
    research_only=True,
)
_REMEDY = "unpack MSMT17 again (see datasets/README.md)"


def read_msmt17(root: Path, name: str, *, validation: str = "train") -> ReIDData:
    """The data set in its folder.

    Args:
        root: holds the images and the lists.
        name: of the version, a key of `VERSIONS`.
        validation: `train`: its validation images are trained on, too; `leave_out`: they are not.

    Raises:
        UserError: a list that is missing, empty or wrong.
    """
    train, test = VERSIONS[name][1]
    parts = {"train": (train, ["list_train.txt", "list_val.txt"][: 2 if validation == "train" else 1])}
    parts |= {"query": (test, [_LISTS[0]]), "gallery": (test, [_LISTS[1]])}
    if child(root, train) is None:
        del parts["train"]
    splits = {
        split: [
            record
            for list_name in lists
            for record in _listed(root, folder, list_name, 0 if split == "train" else _PERSONS["train"])
        ]
        for split, (folder, lists) in parts.items()
    }
    compare_counts(root, splits, PUBLISHED[validation])
    names = {record.person_id: record.person for records in splits.values() for record in records}
    missing = "" if "train" in splits else not_found(root / train)
    return ReIDData(
        name,
        str(root),
        splits.get("train", []),
        splits["query"],
        splits["gallery"],
        original_ids=names,
        missing=missing,
    )


def _listed(root: Path, folder: str, name: str, before: int) -> list[ImageRecord]:
    file = child(root, name)
    if file is None:
        raise UserError(f"{root / name}: not found; {_REMEDY}")
    images, records = child(root, folder) or root / folder, []
    for line, place in read_text_lines(file, _REMEDY):
        path, _, number = line.rpartition(" ")
        match = _CAMERA.match(path.rsplit("/", 1)[-1])
        if not match or not number.isdigit():
            raise UserError(f"{place}: {line[:100]!r} is not like 0000/0000_001_02_0303morning_0015_0.jpg 0; {_REMEDY}")
        person = before + int(number) + 1
        label = f"{'test/' if before else ''}{number}"
        records.append(ImageRecord(str(images / path), person, int(match[1]), person=label))
    return sorted(records)


def _load(cfg: CfgNode, name: str) -> ReIDData:
    names, (_, test) = VERSIONS[name]
    root = find_folder(cfg.DATA.ROOT, names, [test, *_LISTS])
    return check_data(read_msmt17(root, name, validation=cfg.PROTOCOL.VALIDATION), cameras=cfg.DATA.CAMERAS)


@_register("msmt17")
def load_msmt17(cfg: CfgNode) -> ReIDData:
    """The version that is there, the first where both are."""
    there = [name for name, (names, folders) in VERSIONS.items() if locate(cfg.DATA.ROOT, names, [folders[1], *_LISTS])]
    return _load(cfg, (there or list(VERSIONS))[0])


@_register("msmt17_v1")
def load_msmt17_v1(cfg: CfgNode) -> ReIDData:
    """Version 1."""
    return _load(cfg, "msmt17_v1")


@_register("msmt17_v2")
def load_msmt17_v2(cfg: CfgNode) -> ReIDData:
    """Version 2, whose faces are blurred."""
    return _load(cfg, "msmt17_v2")
