"""Pictures of ranked lists: labels of any length stay below their own image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from reid_dml.analysis import ranking_picture
from reid_dml.data.records import ImageRecord
from reid_dml.ranking.ranked_list import RankedList


@pytest.mark.parametrize("name", ["", "Ada", "W" * 60, "Maximiliane Mustermann-Musterfrau"])
def test_labels_do_not_overlap(name, tmp_path, monkeypatch):
    Image.fromarray(np.full((32, 16, 3), 90, np.uint8)).save(tmp_path / "a.png")
    images = [ImageRecord(str(tmp_path / "a.png"), row + 1, row, person=name, camera=name) for row in range(4)]
    kept = []
    monkeypatch.setattr(plt, "close", kept.append)
    ranking_picture.draw_lists([RankedList(images[0], images[1:], [0.9, 0.5, 0.1])], tmp_path / "list.png")
    (figure,) = kept
    figure.canvas.draw()
    boxes = [axes.xaxis.label.get_window_extent() for axes in figure.axes]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    shown = figure.axes[1].xaxis.label.get_text()
    assert shown == (f"{name}\ncamera {name}" if name == "Ada" else shown)
    assert shown[:3] == (name[:3] or "per")
