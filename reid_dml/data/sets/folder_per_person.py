"""Your own photos in a folder per person: `DATA.ROOT/<person>/*`, or `<person>/<camera>/*`."""

from __future__ import annotations

import logging

from yacs.config import CfgNode

from reid_dml.data.person_folders import read_person_folders
from reid_dml.data.records import ReIDData
from reid_dml.data.sets import register_data
from reid_dml.data.sets.own_images import OwnOptions, own_data, with_drawn_splits

logger = logging.getLogger(__name__)


@register_data(
    "folder_per_person", task="retrieval", section="OWN", options=OwnOptions, own_root=True, all_folders=True
)
def load_folder_per_person(cfg: CfgNode) -> ReIDData:
    """Persons are the names of the folders; cameras those of their sub-folders, or `OWN.CAMERA_PATTERN` in the path.

    Splits are drawn (`OWN`). Folders called -1 or junk, and distractors, mean what they do in a list.
    """
    images = read_person_folders(cfg.DATA.ROOT, cfg.OWN.CAMERA_PATTERN, remedy="set DATA.ROOT to")
    cameras = sorted({image.camera for image in images if image.camera})
    if cfg.DATA.CAMERAS == "required":
        said = f"cameras {', '.join(cameras[:5])}{', ...' if len(cameras) > 5 else ''}" if cameras else "no cameras"
        logger.info("%s: %s", cfg.DATA.ROOT, said + ("" if cameras else ": every image of a query's person is a match"))
    images, tested = with_drawn_splits(cfg, cfg.DATA.ROOT, images)
    return own_data(cfg, cfg.DATA.ROOT, images, tested=tested)
