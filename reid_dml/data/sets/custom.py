"""Your own data as a list: a CSV with the columns path, person_id, camera_id, split."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.records import DISTRACTOR, UNKNOWN_CAMERA, ImageRecord, ReIDData
from reid_dml.data.sets import own_name, register_data
from reid_dml.data.sets.checks import check_data
from reid_dml.errors import UserError, require_file

_SPLITS = ("train", "query", "gallery", "boxes")
_REMEDY = "a header line path,person_id,camera_id,split and a line per image"


def number_ids(ids: Iterable[str]) -> dict[str, int]:
    """Custom ids as 1, 2, ... in a fixed order: whole numbers by value first, then words by spelling.

    Ours start at 1 because 0 and negative ids have a meaning (distractor, junk); yours may be any text, "0" included.
    """

    def order(text: str) -> tuple[int, int, str]:
        try:
            return 0, int(text), text
        except ValueError:
            return 1, 0, text

    return {text: number for number, text in enumerate(sorted(set(ids), key=order), 1)}


@register_data("csv", task="retrieval")
def load_csv(cfg: CfgNode) -> ReIDData:
    """`DATA.ROOT` names the CSV; relative paths in it are relative to its folder.

    `split` is train, query, gallery or boxes (further images of the query persons, for multi-query). The person id
    `distractor` marks gallery images of nobody in the query split. With `DATA.CAMERAS ignore` the camera may be empty.
    """
    path = require_file(cfg.DATA.ROOT, "the CSV list of images", f"set DATA.ROOT to a CSV with {_REMEDY}")
    rows = _read_rows(path)
    numbers = number_ids(row["person_id"] for row in rows if row["person_id"] != "distractor")
    cameras = number_ids(row["camera_id"] for row in rows)
    splits: dict[str, list[ImageRecord]] = {split: [] for split in _SPLITS}
    for row in rows:
        line = row["line"]
        if row["split"] not in _SPLITS:
            raise UserError(f"{path}: line {line}: split is {row['split']!r}, not one of {', '.join(_SPLITS)}")
        if not row["person_id"]:
            raise UserError(f"{path}: line {line}: person_id is empty; write an id, or `distractor`")
        if not row["camera_id"] and cfg.DATA.CAMERAS == "required":
            raise UserError(f"{path}: line {line}: camera_id is empty; fill it in, or set DATA.CAMERAS ignore")
        image = path.parent / row["path"]
        person = numbers.get(row["person_id"], DISTRACTOR)
        camera = cameras[row["camera_id"]] if cfg.DATA.CAMERAS == "required" else UNKNOWN_CAMERA
        splits[row["split"]].append(ImageRecord(str(image), person, camera))
    for split, records in splits.items():
        splits[split] = sorted(records)
    return check_data(
        ReIDData(
            own_name(cfg.DATA.ROOT),
            str(path),
            *(splits[split] for split in _SPLITS),
            original_ids={number: text for text, number in numbers.items()},
        )
    )


def _read_rows(path: Path) -> list[dict[str, str]]:
    columns = ("path", "person_id", "camera_id", "split")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            absent = [name for name in columns if name not in (reader.fieldnames or ())]
            if absent:
                raise UserError(f"{path}: line 1: no column {', '.join(absent)}; the file needs {_REMEDY}")
            return [
                {name: (row[name] or "").strip() for name in columns} | {"line": str(reader.line_num)} for row in reader
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a CSV text file ({error}); the file needs {_REMEDY}") from None
