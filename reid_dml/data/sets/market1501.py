"""Market-1501 (Zheng et al., ICCV 2015), and any folder in its layout.

Names look like `0002_c1s1_000451_03.jpg`: person 0002, camera 1. Person -1 is junk, 0000 a distractor.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.listing import list_folders
from reid_dml.data.records import ReIDData
from reid_dml.data.sets import own_name, register_data
from reid_dml.data.sets.checks import check_data
from reid_dml.data.sets.found import MARKET_SPLITS, Published, named
from reid_dml.data.sets.layouts import Layout
from reid_dml.data.sets.places import check_root
from reid_dml.errors import UserError, absolute

FOLDER = "Market-1501-v15.09.15"
TERMS = "Market-1501 (Zheng et al., ICCV 2015) may be used for research only and must not be passed on."
MARKET = Layout(
    "market1501",
    (FOLDER, "Market-1501", "market1501"),
    Published({"train": 12_936, "query": 3_368, "gallery": 19_732, "gt_bbox": 25_259}),
    {**MARKET_SPLITS, "gt_bbox": "gt_bbox"},
)


def market_layout(name: str) -> Layout:
    """Market-1501's layout of another data set, of which nothing is published."""
    return replace(MARKET, name=name, published=Published({}))


def _has_layout(root: Path) -> bool:
    return all((root / folder).is_dir() for folder in MARKET_SPLITS.values())


@register_data("market1501", task="retrieval", terms=TERMS, research_only=True)
def load_market1501(cfg: CfgNode) -> ReIDData:
    """`DATA.ROOT`/Market-1501-v15.09.15 or, where that is not there, a folder called like `market1501`.

    Its image counts are compared with the official ones.
    """
    root = Path(cfg.DATA.ROOT)
    called_otherwise = None if (root / FOLDER).is_dir() else named(root, MARKET.folders, MARKET.tested)
    root = called_otherwise or check_root(root, lambda root: _has_layout(root / FOLDER), f"{FOLDER}/") / FOLDER
    return check_data(MARKET.read(root), cameras=cfg.DATA.CAMERAS)


@register_data("folder", task="retrieval", own_root=True)
def load_folder(cfg: CfgNode) -> ReIDData:
    """A folder of your own in Market layout: `DATA.ROOT` holds bounding_box_train, query and bounding_box_test."""
    root = check_root(cfg.DATA.ROOT, _has_layout, "bounding_box_train, query and bounding_box_test")
    folders = MARKET.splits.values()
    if root.is_dir() and not any((root / folder).is_dir() for folder in folders) and list_folders(root):
        raise UserError(
            f"{absolute(root)}: holds none of {', '.join(folders)}; a folder for each person is "
            "folder_per_person, not folder"
        )
    return check_data(market_layout(own_name(cfg.DATA.ROOT)).read(root), cameras=cfg.DATA.CAMERAS)
