"""CUHK03 (Li et al., CVPR 2014) by the new protocol, 767 persons to train on and 700 to test (Zhong et al., CVPR 2017).

Two forms are read: CUHK03-NP's folders in Market layout, and images with `splits_new_labeled.json` or
`splits_new_detected.json` beside them, as torchreid makes them of `cuhk-03.mat` and as they are passed on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from reid_dml.data.records import ImageRecord, ReIDData
from reid_dml.data.sets import register_data
from reid_dml.data.sets.checks import check_data
from reid_dml.data.sets.found import MARKET_SPLITS, Published, child, compare_counts, find_folder, locate
from reid_dml.data.sets.layouts import Layout
from reid_dml.errors import UserError

_FOLDERS = ("cuhk03-np", "cuhk03", "cuhk03_release")
_RAW = ("cuhk03_release/cuhk-03.mat", "cuhk-03.mat")  # the authors' archive
_NAME = re.compile(r"(?P<pair>\d)_(?P<person>\d{3})_(?P<view>[12])_\d+")
_PERSONS = {"train": 767, "query": 700, "gallery": 700}
PUBLISHED = {
    "labeled": Published({"train": 7_368, "query": 1_400, "gallery": 5_328}, _PERSONS),
    "detected": Published({"train": 7_365, "query": 1_400, "gallery": 5_332}, _PERSONS),
}


def _load(cfg: CfgNode, kind: str, name: str) -> ReIDData:
    """The images whose boxes people drew (`labeled`), or a detector found (`detected`).

    Args:
        cfg: the config.
        kind: as the authors' folders call it.
        name: in `DATA.NAME`.
    """
    if root := locate(cfg.DATA.ROOT, _FOLDERS, [f"images_{kind}", f"splits_new_{kind}.json"]):
        return check_data(_read_listed(root, kind, name), cameras=cfg.DATA.CAMERAS)
    layout = Layout(name, _FOLDERS, PUBLISHED[kind], MARKET_SPLITS)
    folders = [f"{kind}/{folder}" for folder in layout.tested]
    for place in _RAW if locate(cfg.DATA.ROOT, _FOLDERS, folders) is None else ():
        if raw := locate(cfg.DATA.ROOT, _FOLDERS, [place]):
            raise UserError(
                f"{raw / place}: images are not read from this file; get CUHK03-NP, which has them as files (see "
                "datasets/README.md)"
            )
    root = find_folder(cfg.DATA.ROOT, _FOLDERS, folders)
    return check_data(layout.read(child(root, kind) or root / kind), cameras=cfg.DATA.CAMERAS)


def _read_listed(root: Path, kind: str, name: str) -> ReIDData:
    file = child(root, f"splits_new_{kind}.json")
    images = child(root, f"images_{kind}")
    assert file is not None
    assert images is not None
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        (split,) = content if isinstance(content, list) else [content]
        listed = {part: [str(entry[0]) for entry in split[part]] for part in ("train", "query", "gallery")}
    except (ValueError, KeyError, TypeError, IndexError):
        raise UserError(
            f"{file}: not a list of one split with train, query and gallery; copy it again, or get CUHK03-NP"
        ) from None
    splits = {part: _records(paths, images, file) for part, paths in listed.items()}
    compare_counts(root, splits, PUBLISHED[kind])
    return ReIDData(name, str(root), splits["train"], splits["query"], splits["gallery"])


def _records(paths: Sequence[str], images: Path, file: Path) -> list[ImageRecord]:
    records = []
    for path in paths:  # wherever they lay on the machine that wrote the list
        base = re.split(r"[/\\]", path)[-1]
        match = _NAME.match(base)
        if match is None:
            raise UserError(f"{file}: {path}: the name is not like 1_001_1_01.png; copy the file again")
        person = 1_000 * int(match["pair"]) + int(match["person"])  # persons are counted anew for each pair of cameras
        records.append(ImageRecord(str(images / base), person, int(match["view"])))
    return sorted(records)


@register_data("cuhk03_labelled", task="retrieval")
def load_cuhk03_labelled(cfg: CfgNode) -> ReIDData:
    """CUHK03-NP, boxes drawn by people."""
    return _load(cfg, "labeled", "cuhk03_labelled")


@register_data("cuhk03_detected", task="retrieval")
def load_cuhk03_detected(cfg: CfgNode) -> ReIDData:
    """CUHK03-NP, boxes found by a detector."""
    return _load(cfg, "detected", "cuhk03_detected")
