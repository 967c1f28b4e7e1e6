"""The binary versions of CIFAR-10 and CIFAR-100: small ones in the official layout, with sums of their own."""

from __future__ import annotations

import dataclasses
import hashlib
import tarfile

import numpy as np
import pytest

from reid_dml.config import load_config
from reid_dml.data.sets import load_data
from reid_dml.data.sets.cifar_binary import VERSIONS
from reid_dml.errors import UserError

CLASSES = ["ant", "bee", "cat"]


@pytest.fixture(params=["cifar10", "cifar100"])
def made(request, tmp_path, monkeypatch, rng):
    """(name, version, images by split, labels by split) of a folder of six images a file."""
    name = request.param
    version = dataclasses.replace(VERSIONS[name], images={"train": 6, "test": 6})
    folder, images, labels, sums = tmp_path / version.folder, {}, {}, {}
    folder.mkdir()
    for split, files in version.files.items():
        images[split] = rng.integers(0, 256, (6 * len(files), 32, 32, 3), dtype=np.uint8)
        labels[split] = np.tile([2, 0, 1], 2 * len(files))
        flat = images[split].transpose(0, 3, 1, 2).reshape(len(images[split]), -1)
        first = (
            [labels[split][:, None]] if version.labels == 1 else [np.full((len(flat), 1), 7), labels[split][:, None]]
        )
        rows = np.concatenate([*first, flat], 1).astype(np.uint8)
        for number, file in enumerate(files):
            (folder / file).write_bytes(rows[6 * number : 6 * number + 6].tobytes())
            sums[file] = hashlib.sha1((folder / file).read_bytes()).hexdigest()
    (folder / version.names).write_text("\n".join(CLASSES) + "\n\n")
    version = dataclasses.replace(version, sha1=sums if version.sha1 else {})
    monkeypatch.setitem(VERSIONS, name, version)
    return name, version, images, labels


@pytest.fixture
def load(tmp_path):
    config = tmp_path / "a.yml"
    config.write_text("DATA: {STORED_SIZE: [32, 32]}\nINPUT: {SIZE: [32, 32]}\n")
    return lambda name: load_data(load_config(config, ["DATA.NAME", name, "DATA.ROOT", str(tmp_path)]))


def pack(root, version, monkeypatch, name):
    """Put the folder into the archive and remove it."""
    with tarfile.open(root / version.archive, "w:gz") as tar:
        tar.add(root / version.folder, version.folder)
    for path in (root / version.folder).iterdir():
        path.unlink()
    (root / version.folder).rmdir()
    md5 = hashlib.md5((root / version.archive).read_bytes()).hexdigest()
    monkeypatch.setitem(VERSIONS, name, dataclasses.replace(version, md5=md5))


@pytest.mark.parametrize("packed", [False, True])
def test_every_pixel_and_label_of_the_official_split(made, load, tmp_path, monkeypatch, packed):
    name, version, images, labels = made
    if packed:
        pack(tmp_path, version, monkeypatch, name)
    data = load(name)
    assert data.name == name  # official: no "(unofficial split)"
    assert data.class_names == CLASSES
    for split, records in (("train", data.train), ("test", data.test)):
        assert np.array_equal([record.pixels for record in records], images[split])
        assert np.array_equal([record.label - 1 for record in records], labels[split])
    assert not list(tmp_path.glob(".*"))


def test_what_is_damaged_or_missing_is_named(made, load, tmp_path):
    name, version, _, _ = made
    path = tmp_path / version.folder / version.files["test"][0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=rf"{path}: [\d,]+ bytes, [\d,]+ are expected"):
        load(name)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    if version.sha1:
        with pytest.raises(UserError, match=f"{path}: damaged"):
            load(name)
    path.write_bytes(bytes([9] * 3073) + whole[3073:])
    with pytest.raises(UserError, match=r"test_labels: row 0 is 9|damaged"):
        load(name)
    path.unlink()
    with pytest.raises(UserError, match=f"{path}: not found"):
        load(name)


def test_an_archive_that_is_not_the_official_one_is_refused(made, load, tmp_path, monkeypatch):
    name, version, _, _ = made
    pack(tmp_path, version, monkeypatch, name)
    (tmp_path / version.archive).write_bytes(b"other")
    with pytest.raises(UserError, match="not the official archive"):
        load(name)
