"""The binary versions of CIFAR-10 and CIFAR-100, a folder or its archive: official images in the official split.

A row of a file is an image: its label (CIFAR-100: first the label of the superclass, then its own), 1,024 bytes of red,
1,024 of green, 1,024 of blue. (https://www.cs.toronto.edu/~kriz/cifar.html)
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from reid_dml.data.records import ClassificationData
from reid_dml.data.sets.npz import data_from_arrays
from reid_dml.errors import UserError

_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class BinaryVersion:
    """Where the images of one data set lie in its binary version.

    Attributes:
        folder: name of the folder in the archive.
        archive: name of the archive.
        md5: of the archive.
        files: of each split, in order.
        names: the file with the names of the classes, a line each.
        labels: bytes of labels at the beginning of a row; the last one is the class.
        images: rows of each file.
        sha1: of files, where they are known.
    """

    folder: str
    archive: str
    md5: str
    files: Mapping[str, tuple[str, ...]]
    names: str
    labels: int
    images: Mapping[str, int]
    sha1: Mapping[str, str] = field(default_factory=dict)


VERSIONS = {
    "cifar10": BinaryVersion(
        "cifar-10-batches-bin",
        "cifar-10-binary.tar.gz",
        "c32a1d4ab5d03f1284b67883e8d87530",
        {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)},
        "batches.meta.txt",
        1,
        {"train": 10_000, "test": 10_000},
    ),
    "cifar100": BinaryVersion(
        "cifar-100-binary",
        "cifar-100-binary.tar.gz",
        "03b5dce01913d631647c71ecec9e9cb8",
        {"train": ("train.bin",), "test": ("test.bin",)},
        "fine_label_names.txt",
        2,
        {"train": 50_000, "test": 10_000},
        # Of the files inside: also a folder that somebody else unpacked is known to be official.
        {
            "train.bin": "e207cd2e05b73b1393c74c7f5e7bea451d63e08e",
            "test.bin": "8fb6623e830365ff53cf14adec797474f5478006",
        },
    ),
}


def has_binary(root: Path, name: str) -> bool:
    """Whether a folder holds the binary version of `cifar10` or `cifar100`, unpacked or as the archive."""
    version = VERSIONS[name]
    return (root / version.folder).is_dir() or (root / version.archive).is_file()


def read_binary(root: Path, name: str) -> ClassificationData:
    """The data set in the folder, else in the archive, which is read without being unpacked.

    Args:
        root: holds either.
        name: `cifar10` or `cifar100`.

    Raises:
        UserError: a file that is missing, damaged or of another size, or an archive that is not the official one.
    """
    version = VERSIONS[name]
    folder = root / version.folder
    if folder.is_dir():
        return _assemble(version, name, folder, lambda file: _read_file(folder / file))
    archive = root / version.archive
    with archive.open("rb") as packed:
        if hashlib.file_digest(packed, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() != version.md5:
            raise UserError(f"{archive}: damaged, or not the official archive (MD5 {version.md5}); fetch it again")
    try:
        with tarfile.open(archive) as tar:
            contents = {
                Path(member.name).name: opened.read()
                for member in tar
                if (opened := tar.extractfile(member)) is not None
            }
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise UserError(f"{archive}: cannot be unpacked ({error}); fetch it again") from None
    return _assemble(version, name, archive, contents.get)


def _read_file(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _assemble(
    version: BinaryVersion, name: str, where: Path, read: Callable[[str], bytes | None]
) -> ClassificationData:
    def content(file: str) -> bytes:
        found = read(file)
        if found is None:
            raise UserError(f"{where / file}: not found; unpack the whole of {version.archive}")
        return found

    names = content(version.names).decode("utf-8", "replace").split()
    arrays = {"class_names": np.array(names, np.str_)}
    width = version.labels + _PIXELS
    for split, files in version.files.items():
        parts = []
        for file in files:
            data, expected = content(file), version.images[split] * width
            if len(data) != expected:
                raise UserError(
                    f"{where / file}: {len(data):,} bytes, {expected:,} are expected; unpack {version.archive} again"
                )
            checksum = version.sha1.get(file)
            if checksum and hashlib.sha1(data, usedforsecurity=False).hexdigest() != checksum:
                raise UserError(f"{where / file}: damaged (SHA-1 {checksum} expected); unpack {version.archive} again")
            parts.append(np.frombuffer(data, np.uint8).reshape(-1, width))
        rows = np.concatenate(parts) if len(parts) > 1 else parts[0]
        images = rows[:, version.labels :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        arrays[f"{split}_images"] = np.ascontiguousarray(images)
        arrays[f"{split}_labels"] = rows[:, version.labels - 1].astype(np.int64)
    return data_from_arrays(arrays, name=name, root=where)
