"""Market-1501 (Zheng et al., ICCV 2015), and any folder in its layout.

Names look like `0002_c1s1_000451_03.jpg`: person 0002, camera 1. Person -1 is junk, 0000 a distractor.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.file_names import parse_name
from reid_dml.data.listing import list_folders, list_images, passed_over, walk_images
from reid_dml.data.records import JUNK, UNKNOWN_CAMERA, ImageRecord, ReIDData
from reid_dml.data.sets import own_name, register_data
from reid_dml.data.sets.checks import check_data
from reid_dml.data.sets.found import named
from reid_dml.data.sets.places import check_root
from reid_dml.errors import UserError, absolute

FOLDER = "Market-1501-v15.09.15"
NAMES = (FOLDER, "Market-1501", "market1501")
SPLITS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test", "boxes": "gt_bbox"}
OFFICIAL_COUNTS = {"train": 12936, "query": 3368, "gallery": 19732, "boxes": 25259}
_NO_FOLDER = "folder not found; see datasets/README.md for the layout, or set DATA.ROOT"


def read_folder(folder: Path, *, cameras: str = "required") -> list[ImageRecord]:
    """The records of one folder, sorted by name. Raises `UserError` if it is missing, empty or has a foreign name."""
    if not folder.is_dir():
        raise UserError(f"{absolute(folder)}: {_NO_FOLDER}")
    with passed_over(folder) as passed:
        names = list_images(folder, passed)
        for name in list_folders(folder):
            if below := walk_images(folder / name, passed):
                passed.add("in sub-folders", str(folder / name / below[0]), len(below))
    if not names:
        raise UserError(f"{absolute(folder)}: holds no images; unpack the data set again (see datasets/README.md)")
    records = []
    for name in names:
        try:
            person, camera = parse_name(name)
        except ValueError:
            raise UserError(
                f"{folder / name}: the name does not start with <person>_c<camera>, like 0002_c1s1_000451_03.jpg; "
                "rename or remove the file, or list your images in a CSV (DATA.NAME csv)"
            ) from None
        records.append(ImageRecord(str(folder / name), person, camera if cameras == "required" else UNKNOWN_CAMERA))
    return records


def read_layout(root: Path, name: str, *, cameras: str = "required") -> ReIDData:
    """The four folders of a data set in Market layout; `gt_bbox` may be absent.

    Args:
        root: holds the folders.
        name: of the data set.
        cameras: `required` in every file name, or `ignore` (they are not read).

    Raises:
        UserError: a folder that is missing or empty, or a file name that does not parse.
    """
    if not root.is_dir():
        raise UserError(
            f"{absolute(root)}: folder not found; see datasets/README.md for where the data goes, or set DATA.ROOT"
        )
    # Who only evaluates needs no images to train on.
    optional = {"boxes", "train"} if (root / SPLITS["query"]).is_dir() else {"boxes"}
    splits = {
        split: read_folder(root / folder, cameras=cameras)
        for split, folder in SPLITS.items()
        if split not in optional or (root / folder).is_dir()
    }
    # Junk can never be a match nor a wrong item: it is left out before anything is computed on it.
    splits["gallery"] = [record for record in splits["gallery"] if record.person_id != JUNK]
    return ReIDData(
        name,
        str(root),
        splits.get("train", ()),
        splits["query"],
        splits["gallery"],
        splits.get("boxes", ()),
        missing="" if "train" in splits else f"{absolute(root / SPLITS['train'])}: {_NO_FOLDER}",
    )


def _has_layout(root: Path) -> bool:
    return all((root / folder).is_dir() for split, folder in SPLITS.items() if split != "boxes")


def count_differences(counts: dict[str, int]) -> list[str]:
    """What differs from the official numbers of images, one text a split."""
    return [
        f"{SPLITS[split]} has {counts.get(split, 0):,} images instead of {official:,}"
        for split, official in OFFICIAL_COUNTS.items()
        if counts.get(split, 0) != official
    ]


@register_data("market1501", task="retrieval")
def load_market1501(cfg: CfgNode) -> ReIDData:
    """`DATA.ROOT`/Market-1501-v15.09.15 or, where that is not there, a folder called like `market1501`.

    Its image counts are compared with the official ones.
    """
    root = Path(cfg.DATA.ROOT)
    called_otherwise = None if (root / FOLDER).is_dir() else named(root, NAMES, [SPLITS["query"], SPLITS["gallery"]])
    root = called_otherwise or check_root(root, lambda root: _has_layout(root / FOLDER), f"{FOLDER}/") / FOLDER
    data = read_layout(root, "market1501", cameras=cfg.DATA.CAMERAS)
    counts = {split: len(list_images(root / folder)) for split, folder in SPLITS.items() if (root / folder).is_dir()}
    if differences := count_differences(counts):
        warnings.warn(
            f"{root}: {'; '.join(differences)}: results are not comparable unless you expected this", stacklevel=2
        )
    return check_data(data)


@register_data("folder", task="retrieval")
def load_folder(cfg: CfgNode) -> ReIDData:
    """A folder of your own in Market layout: `DATA.ROOT` holds bounding_box_train, query and bounding_box_test."""
    root = check_root(cfg.DATA.ROOT, _has_layout, "bounding_box_train, query and bounding_box_test")
    if root.is_dir() and not any((root / folder).is_dir() for folder in SPLITS.values()) and list_folders(root):
        raise UserError(
            f"{absolute(root)}: holds none of {', '.join(SPLITS.values())}; a folder for each person is "
            "folder_per_person, not folder"
        )
    return check_data(read_layout(root, own_name(cfg.DATA.ROOT), cameras=cfg.DATA.CAMERAS))
