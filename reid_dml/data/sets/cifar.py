"""CIFAR-10 and CIFAR-100 (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009)."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from yacs.config import CfgNode

from reid_dml.data.records import ClassificationData
from reid_dml.data.sets import register_data
from reid_dml.data.sets.cifar_binary import has_binary, read_binary
from reid_dml.data.sets.class_folders import read_class_tree
from reid_dml.data.sets.npz import data_from_arrays, read_npz
from reid_dml.data.sets.places import check_root
from reid_dml.errors import UserError, absolute
from reid_dml.files import save_folder

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

_TERMS = "CIFAR (Krizhevsky, 2009) is published without a licence, for research."


@register_data("cifar10", task="classification", terms=_TERMS)
@register_data("cifar100", task="classification", terms=_TERMS)
def load_cifar(cfg: CfgNode) -> ClassificationData:
    """What lies in `DATA.ROOT`, in this order: the official archive or its folder, of the Python version or the binary
    one, `cifar100.npz`, class folders.

    Only the archives are the official split; of the others nobody can tell which images were meant for testing, and the
    data set's name says so.
    """
    from torchvision import datasets  # slow to import

    root, name = Path(cfg.DATA.ROOT), cfg.DATA.NAME
    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    if (root / kind.base_folder).is_dir() or (root / kind.filename).is_file():
        return read_archive(root, name, kind)
    if has_binary(root, name):
        return read_binary(root, name)
    unofficial = f"{name} (unofficial split)"
    if (root / f"{name}.npz").is_file():
        return read_npz(root / f"{name}.npz", unofficial)
    if (root / name).is_dir():
        return read_class_tree(root / name, unofficial)
    check_root(root, lambda folder: _holds(folder, name, kind), name)
    if (root / "train").is_dir():
        raise UserError(f"{root}: holds train/ itself; set DATA.ROOT to the folder above, in which it is called {name}")
    if not root.is_dir():
        raise UserError(
            f"{absolute(root)}: {'a file' if root.exists() else 'no such folder'}; DATA.ROOT is the folder of {name}"
        )
    raise UserError(
        f"{absolute(root)}: no {name} here; put the official {kind.filename} ({kind.url}) there, or {name}.npz, or "
        f"the folders {name}/train/<class> and {name}/test/<class> (see datasets/README.md); or set DATA.ROOT"
    )


def _holds(root: Path, name: str, kind: type[CIFAR10]) -> bool:
    files = (root / kind.filename, root / f"{name}.npz")
    return any(file.is_file() for file in files) or any(
        (root / s).is_dir() for s in (kind.base_folder, f"{name}/train")
    )


def read_archive(root: Path, name: str, kind: type[CIFAR10]) -> ClassificationData:
    """The official archive by torchvision's reader, every file checked against its MD5 sum; unpacked once.

    Args:
        root: holds the archive, or the folder that it was unpacked to.
        name: of the data set.
        kind: torchvision's class.

    Raises:
        UserError: names the file that is damaged.
    """
    from torchvision.datasets.utils import check_integrity

    folder = root / kind.base_folder
    if not folder.is_dir():
        archive = root / kind.filename
        if not check_integrity(str(archive), kind.tgz_md5):
            raise UserError(f"{archive}: damaged, or not the official archive (MD5 {kind.tgz_md5}); fetch it again")
        _unpack(archive, folder)
    for file, checksum in (*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])):
        # The files are pickles: only those whose sum is right are ever opened.
        if not check_integrity(str(folder / file), checksum):
            raise UserError(
                f"{folder / file}: missing or damaged (MD5 {checksum} expected); remove {folder} and unpack "
                f"{kind.filename} again"
            )
    splits = {split: kind(str(root), train=split == "train", download=False) for split in ("train", "test")}
    arrays = {f"{split}_images": found.data for split, found in splits.items()}
    arrays |= {f"{split}_labels": np.array(found.targets) for split, found in splits.items()}
    return data_from_arrays({**arrays, "class_names": np.array(splits["train"].classes)}, name=name, root=folder)


def _unpack(archive: Path, folder: Path) -> None:
    def extract(draft: Path) -> None:
        with tarfile.open(archive) as file:
            if hasattr(tarfile, "data_filter"):
                file.extractall(draft, filter="data")
            else:  # Python 3.11.0 to 3.11.3; the archive's MD5 sum was right
                file.extractall(draft)
        inside = draft / folder.name
        for entry in inside.iterdir():
            entry.rename(draft / entry.name)
        inside.rmdir()

    try:
        save_folder(folder, extract)
    except OSError:
        if not folder.is_dir():  # else another process was faster
            raise
