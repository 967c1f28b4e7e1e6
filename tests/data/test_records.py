"""What a run remembers of its training images, and which of many images stand for all."""

from __future__ import annotations

import os

import numpy as np
import pytest

from reid_dml.data.records import _place, evenly_spread


@pytest.mark.parametrize("folder", ["data", "/somewhere/data", "data/train/..", "."])
@pytest.mark.parametrize(
    "path",
    [
        "data/train/a.jpg",
        "/somewhere/data/a/b.png",
        "data//a.jpg",
        "data/./a.jpg",
        "data/x/../a.jpg",
        "data/.hidden.jpg",
        "database/a.jpg",
        "data/train/../a.jpg",
        "elsewhere/a.jpg",
        "./a.jpg",
    ],
)
def test_places_are_relative_paths(path, folder):
    assert _place(path, folder) == os.path.relpath(path, folder)


@pytest.mark.parametrize("count", [2, 9, 128, 129, 255, 256, 1000])
@pytest.mark.parametrize("wanted", [2, 3, 8, 128, 5000])
def test_images_that_stand_for_all_are_evenly_spread_from_the_first_to_the_last(count, wanted):
    rows = evenly_spread(count, wanted)
    assert (len(rows), rows[0], rows[-1]) == (min(count, wanted), 0, count - 1)
    gaps = np.diff(rows)
    assert np.abs(gaps - (count - 1) / (len(rows) - 1)).max() <= 1
    assert gaps.min() >= 1


def test_of_no_images_none_and_of_one_the_first_stand_for_all():
    assert evenly_spread(0, 5).tolist() == []
    assert evenly_spread(7, 1).tolist() == [0]
    assert evenly_spread(7, 0).tolist() == []
