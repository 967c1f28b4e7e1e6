"""What a run remembers of its training images."""

from __future__ import annotations

import os

import pytest

from reid_dml.data.records import _place


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
