"""Market-1501 with the 500,000 distractors of its authors in the gallery (Zheng et al., ICCV 2015, Section 5)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.records import DISTRACTOR, UNKNOWN_CAMERA, ImageRecord, ReIDData
from reid_dml.data.sets import register_data
from reid_dml.data.sets.found import Published, child, compare_counts
from reid_dml.data.sets.layouts import image_files
from reid_dml.data.sets.market1501 import TERMS, load_market1501
from reid_dml.errors import UserError, absolute

NAMES = ("distractors_500k", "images", "distractors")
PUBLISHED = Published({"distractors_500k": 500_000})


@register_data("market1501_500k", task="retrieval", terms=TERMS, research_only=True)
def load_market1501_500k(cfg: CfgNode) -> ReIDData:
    """Market-1501, and beside its folder or in it `distractors_500k` (`images`): wrong items for every query.

    Whatever their names say, none of them shows a query's person.
    """
    data = load_market1501(cfg)
    assert isinstance(data, ReIDData)
    folder = _distractors(Path(cfg.DATA.ROOT), Path(data.root))
    found = [ImageRecord(path, DISTRACTOR, UNKNOWN_CAMERA) for path in image_files(folder)]
    compare_counts(folder, {"distractors_500k": found}, PUBLISHED)
    return dataclasses.replace(data, name="market1501_500k", gallery=[*data.gallery, *found])


def _distractors(root: Path, market: Path) -> Path:
    """Where the distractors lie; as their archive does, in a further folder perhaps."""
    for place in (root, market):
        for name in NAMES:
            if (folder := child(place, name)) and folder.is_dir():
                return next((inner for other in NAMES if (inner := child(folder, other)) and inner.is_dir()), folder)
    raise UserError(
        f"{absolute(root / NAMES[0])}: folder not found; unpack the 500k distractors there (see datasets/README.md), "
        "or set DATA.NAME to market1501"
    )
