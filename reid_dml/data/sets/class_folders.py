"""Classification data as folders of images: `train/<class>/*`, and `test` or `val` likewise.

The images of a class may lie in folders of their own below it, as in Tiny-ImageNet.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.listing import list_folders, list_images, passed_over, walk_images
from reid_dml.data.records import ClassificationData, ImageRecord
from reid_dml.data.sets import own_name, register_data
from reid_dml.data.sets.places import check_root
from reid_dml.errors import UserError, absolute


def _layout(test_names: Sequence[str]) -> str:
    return f"train/<class>/<image> and {' or '.join(test_names)}/<class>/<image>"


def read_class_tree(root: Path, name: str, *, test_names: tuple[str, ...] = ("test", "val")) -> ClassificationData:
    """The two splits of a tree, classes numbered from 1 in alphabetical order of their folders.

    Args:
        root: holds `train` and the test split.
        name: of the data set.
        test_names: folders the test split may have; the first that is there.

    Raises:
        UserError: a missing folder, a class without images, or a class to test that has none to train
            on.
    """
    train = _split_folder(root, ("train",), _layout(test_names))
    test = _split_folder(root, test_names, _layout(test_names))
    numbers = number_classes(train)
    strange = [name for name in _class_folders(test) if name not in numbers]
    if strange:
        raise UserError(
            f"{test / strange[0]}: {len(strange)} classes of this split are not in {train}; the names of the class "
            "folders must be the same in both"
        )
    return ClassificationData(
        name,
        str(root),
        read_split(train, numbers),
        read_split(test, numbers),
        original_ids={number: name for name, number in numbers.items()},
    )


def holds_class_tree(root: Path) -> bool:
    """Whether a folder looks like one for `read_class_tree`."""
    return (root / "train").is_dir() and any((root / name).is_dir() for name in ("test", "val"))


def number_classes(train: Path) -> dict[str, int]:
    """Number of every class folder, from 1 in alphabetical order. Raises `UserError` for fewer than two."""
    classes = _class_folders(train)
    if len(classes) < 2:
        raise UserError(f"{train}: has one class only ({classes[0]}); a classifier needs at least two")
    return {name: number for number, name in enumerate(classes, 1)}


def _split_folder(root: Path, names: tuple[str, ...], layout: str) -> Path:
    if root.is_file():
        raise UserError(f"{root}: a file where a folder with {layout} is expected; an .npz is read by DATA.NAME npz")
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise UserError(f"{absolute(root / names[0])}: folder not found; {root} must hold {layout}; or set DATA.ROOT")


def _class_folders(split: Path) -> list[str]:
    folders = list_folders(split)
    if not folders:
        raise UserError(f"{absolute(split)}: holds no class folders; each class needs one with its images")
    return folders


def read_split(split: Path, numbers: dict[str, int]) -> list[ImageRecord]:
    """The images of the class folders of a split, sorted by class and name."""
    records = []
    with passed_over(split) as passed:
        if beside := list_images(split, passed):
            passed.add("beside the class folders", os.path.join(split, beside[0]), len(beside))
        for name in _class_folders(split):
            folder = split / name
            images = walk_images(folder, passed)
            if not images:
                raise UserError(f"{folder}: the class has no images; fill the folder or remove it")
            records += [ImageRecord.of_class(os.path.join(folder, image), numbers[name]) for image in images]
    return records


@register_data("class_folders", task="classification", own_root=True)
def load_class_folders(cfg: CfgNode) -> ClassificationData:
    """Class folders of your own: `DATA.ROOT` holds train and test (or val)."""
    root = check_root(cfg.DATA.ROOT, holds_class_tree, "train/ and test/ (or val/)")
    return read_class_tree(root, own_name(cfg.DATA.ROOT))
