"""Classification data as arrays, from one `.npz` file or from whoever else has them decoded.

The file holds `train_images` and `test_images` (N, H, W, 3) uint8 RGB, `train_labels` and `test_labels` (N,) int64 in
0 ... C - 1, and, if the classes have names, `class_names` (C,) text. No pickled objects.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from yacs.config import CfgNode

from reid_dml.data.records import ClassificationData, ImageRecord
from reid_dml.data.sets import own_name, register_data
from reid_dml.errors import UserError
from reid_dml.paths import require_file

_KEYS = ("train_images", "train_labels", "test_images", "test_labels")
_REMEDY = f"a file with the arrays {', '.join(_KEYS)} (see datasets/README.md)"


def read_npz(path: Path, name: str) -> ClassificationData:
    """The data set in a file. Raises `UserError` for a damaged or foreign file and for arrays that do not agree."""
    path = require_file(path, "the .npz data set", f"set DATA.ROOT to {_REMEDY}")
    try:
        with zipfile.ZipFile(path):
            pass  # else NumPy would take it for an array or for a pickled object, and say so
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in (*_KEYS, "class_names") if key in file.files}
    except PermissionError:
        raise
    except Exception as error:  # damage makes the readers of zip files and of array headers fail in a dozen ways
        raise UserError(f"{path}: not a whole .npz file of plain arrays ({error}); it must be {_REMEDY}") from None
    absent = [key for key in _KEYS if key not in arrays]
    if absent:
        raise UserError(f"{path}: holds no {', '.join(absent)}; it must be {_REMEDY}")
    return data_from_arrays(arrays, name=name, root=path)


def data_from_arrays(arrays: Mapping[str, np.ndarray], *, name: str, root: Path) -> ClassificationData:
    """A data set from decoded images.

    Args:
        arrays: in the layout of the file.
        name: of the data set.
        root: where the arrays come from, which errors name.

    Raises:
        UserError: arrays of other shapes or types, or labels that do not agree.
    """
    for split in ("train", "test"):
        _check_split(arrays[f"{split}_images"], arrays[f"{split}_labels"], f"{root}: {split}")
    names = _class_names(arrays, root)
    if len(names) < 2:
        raise UserError(f"{root}: train_labels: one class only; a classifier needs at least two")
    for split in ("train", "test"):
        labels = arrays[f"{split}_labels"]
        if labels.max() >= len(names):
            row = int(labels.argmax())
            raise UserError(
                f"{root}: {split}_labels: row {row} is {labels[row]}, but the classes are 0 ... {len(names) - 1} "
                f"({'as class_names says' if 'class_names' in arrays else 'as train_labels says'}); mend either"
            )
    empty = np.setdiff1d(np.arange(len(names)), arrays["train_labels"])
    if len(empty):
        raise UserError(f"{root}: train_labels: class {empty[0]} has no image; labels must be 0 ... C - 1, none empty")
    splits = {
        split: _records(arrays[f"{split}_images"], arrays[f"{split}_labels"], f"{root}/{split}")
        for split in ("train", "test")
    }
    return ClassificationData(name, str(root), splits["train"], splits["test"], original_ids=dict(enumerate(names, 1)))


def _class_names(arrays: Mapping[str, np.ndarray], root: Path) -> list[str]:
    labels = arrays["train_labels"]
    if "class_names" not in arrays:
        if labels.max() >= len(labels):  # also where the numbers are hashes, or one stands for "unknown"
            row = int(labels.argmax())
            raise UserError(
                f"{root}: train_labels: row {row} is {labels[row]}, more than there are images; labels must be "
                "0 ... C - 1, none empty"
            )
        return [str(number) for number in range(int(labels.max()) + 1)]
    names = arrays["class_names"]
    if names.ndim != 1 or names.dtype.kind != "U":
        raise UserError(f"{root}: class_names: {names.shape} {names.dtype}; (C,) text is needed")
    if len(set(names.tolist())) < len(names):
        raise UserError(f"{root}: class_names: two classes have one name; give each its own")
    return names.tolist()


def _check_split(images: np.ndarray, labels: np.ndarray, where: str) -> None:
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8 or not images.size:
        raise UserError(f"{where}_images: {images.shape} {images.dtype}; (N, H, W, 3) uint8 is needed")
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise UserError(
            f"{where}_labels: {labels.shape} {labels.dtype}; a whole number for each of {len(images)} images is needed"
        )
    if labels.min() < 0:
        row = int(labels.argmin())
        raise UserError(f"{where}_labels: row {row} is {labels[row]}; labels count from 0")


def _records(images: np.ndarray, labels: np.ndarray, where: str) -> list[ImageRecord]:
    return [
        ImageRecord.of_class(f"{where}/{row:06d}", int(label) + 1, pixels)
        for row, (pixels, label) in enumerate(zip(images, labels, strict=True))
    ]


@register_data("npz", task="classification", own_root=True)
def load_npz(cfg: CfgNode) -> ClassificationData:
    """Images and labels of your own: `DATA.ROOT` names the file."""
    return read_npz(Path(cfg.DATA.ROOT), own_name(cfg.DATA.ROOT))
