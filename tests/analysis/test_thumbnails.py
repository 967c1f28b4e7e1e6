"""Small copies of images: of files, of frames, of images larger than the limit that they were read with."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from reid_dml.analysis.ranking_picture import draw_lists
from reid_dml.analysis.thumbnails import thumbnail
from reid_dml.data.images import read_image
from reid_dml.data.records import ImageRecord
from reid_dml.ranking.ranked_list import RankedList


@pytest.fixture
def file(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((32, 16, 3), 90, np.uint8))
    return ImageRecord(str(tmp_path / "a.png"), 1, 1)


def test_a_person_s_image_is_upright_and_any_other_square(file, tmp_path):
    assert thumbnail(file).shape == (96, 48, 3)
    assert thumbnail(ImageRecord("name", 1, 1, np.zeros((32, 32, 3), np.uint8))).shape == (96, 96, 3)
    assert thumbnail(ImageRecord(str(tmp_path / "b.png"), 1, 1)) is None
    assert thumbnail(ImageRecord(str(tmp_path / "b.avi#000000"), 1, 1)) is None


def test_an_image_that_was_read_under_a_raised_limit_is_shown(file, tmp_path, monkeypatch):
    monkeypatch.setattr(read_image, "__defaults__", (32 * 16 - 1,))  # of whoever gives none
    assert (thumbnail(file) == 90).all()
    draw_lists([RankedList(file, [file], [0.5])], tmp_path / "list.png")
    assert (tmp_path / "list.png").stat().st_size
