"""Your own data as a list: a table with the columns path, person_id, camera_id, split (see `data/tables.py`)."""

from __future__ import annotations

import logging

from yacs.config import CfgNode

from reid_dml.data.labels import number_ids as number_ids  # its name of earlier versions
from reid_dml.data.records import ReIDData
from reid_dml.data.sets import register_data
from reid_dml.data.sets.own_images import SPLITS, OwnOptions, own_data, with_drawn_splits
from reid_dml.data.tables import REMEDY, read_table
from reid_dml.errors import UserError

logger = logging.getLogger(__name__)


@register_data("csv", task="retrieval", section="OWN", options=OwnOptions, own_root=True)
def load_csv(cfg: CfgNode) -> ReIDData:
    """`DATA.ROOT` names the list; relative paths in it are relative to its folder.

    `split` is train, query, gallery or boxes (further images of the query persons, for multi-query); without this
    column splits are drawn (`OWN`). The person id `distractor` marks gallery images of nobody in the query split, -1
    junk. The camera -1 is unknown; without this column, or with `DATA.CAMERAS ignore`, all are.
    """
    table = read_table(cfg.DATA.ROOT, f"set DATA.ROOT to a CSV with {REMEDY}")
    if "person_id" not in table.columns:
        raise UserError(f"{table.file}: line 1: no column person_id; the file needs {REMEDY}")
    has_cameras = any(image.camera for image in table.images)
    if not has_cameras and cfg.DATA.CAMERAS == "required":
        logger.info("%s: no camera ids: every image of a query's person is a match (DATA.CAMERAS ignore)", table.file)
    images = [image._replace(split=image.split.lower()) for image in table.images]
    for image in images:
        if "split" in table.columns and image.split not in SPLITS:
            raise UserError(f"{image.place}: split is {image.split!r}, not one of {', '.join(SPLITS)}")
        if not image.person:
            raise UserError(f"{image.place}: person_id is empty; write an id, or `distractor`")
        if not image.camera and has_cameras and cfg.DATA.CAMERAS == "required":
            raise UserError(
                f"{image.place}: camera_id is empty; fill it in, write -1 (unknown), or set DATA.CAMERAS ignore"
            )
    tested = True
    if "split" not in table.columns:
        images, tested = with_drawn_splits(cfg, str(table.file), images)
    return own_data(cfg, str(table.file), images, tested=tested)
