"""Synthetic pedestrians: the same from the same seed, in Market's layout."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from reid_dml.data.file_names import parse_name
from reid_dml.data.images import list_images, read_image
from reid_dml.data.sets import load_data, synthetic
from reid_dml.data.sets.synthetic import write_pedestrians
from tests.conftest import killed_draft

SIZES = {"train_identities": 3, "test_identities": 2, "cameras": 2, "images_per_camera": 3}


def read_all(root):
    return {
        f"{folder.name}/{name}": read_image(folder / name)
        for folder in sorted(root.iterdir())
        for name in list_images(folder)
    }


def test_a_seed_decides_every_pixel(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_pedestrians(tmp_path / name, **SIZES, seed=seed)
    first, again, other = (read_all(tmp_path / name) for name in "abc")
    assert first.keys() == again.keys() == other.keys()
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first)


def test_the_layout_has_every_kind_of_image(tmp_path):
    write_pedestrians(tmp_path / "a", **SIZES, seed=0)
    ids = {folder.name: [parse_name(name)[0] for name in list_images(folder)] for folder in (tmp_path / "a").iterdir()}
    assert len(ids["bounding_box_train"]) == 3 * 2 * 3
    assert set(ids["bounding_box_train"]) == {1, 2, 3}
    assert sorted(ids["query"]) == [4, 4, 5, 5]
    assert set(ids["bounding_box_test"]) == {-1, 0, 4, 5}
    assert set(ids["gt_bbox"]) == {4, 5}
    assert all(image.shape == (128, 64, 3) for image in read_all(tmp_path / "a").values())


def test_a_half_written_data_set_is_not_taken_for_a_whole_one(make_config, tmp_path, monkeypatch):
    root = tmp_path / "datasets"
    monkeypatch.setattr(synthetic, "draw", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        load_data(make_config("DATA.ROOT", str(root)))
    monkeypatch.undo()
    data = load_data(make_config("DATA.ROOT", str(root)))
    assert len(data.train) == 5 * 2 * 2
    shutil.rmtree(data.root)
    draft = killed_draft(Path(data.root))
    assert load_data(make_config("DATA.ROOT", str(root))).train == data.train
    assert not draft.exists()
