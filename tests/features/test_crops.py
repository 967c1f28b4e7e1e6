"""Features of the persons in a frame: crops are clipped, every box keeps its row, frames may come several at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reid_dml import FeatureExtractor
from reid_dml.features.crops import crop_boxes

FRAME = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def extract(tiny_run):
    return FeatureExtractor.from_run(tiny_run, device="cpu")


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ([10, 20, 30, 50], slice(20, 50), slice(10, 30)),
        ([-5, -5, 8, 9], slice(0, 9), slice(0, 8)),
        ([70, 50, 200, np.inf], slice(50, 60), slice(70, 80)),
        ([10.2, 20.9, 11.1, 21.0], slice(20, 21), slice(10, 12)),  # pixels that an edge crosses belong to it
        ([79.5, 0, 80, 1], slice(0, 1), slice(79, 80)),
    ],
)
def test_a_crop_is_the_frame_below_the_box_in_rgb(box, rows, columns):
    (crop,) = crop_boxes(FRAME, [box])
    np.testing.assert_array_equal(crop, FRAME[rows, columns, ::-1])


@pytest.mark.parametrize(
    "box",
    [
        [10, 10, 10, 30],
        [30, 10, 20, 40],
        [80, 0, 90, 10],
        [-9, -9, 0, 0],
        [np.nan, 0, 10, 10],
        [0, 0, 5, np.nan],
        [np.inf, 0, np.inf, 9],
    ],
)
def test_a_box_without_a_pixel_has_a_row_of_zeros_and_moves_no_other(extract, box):
    good = [10, 20, 30, 50]
    features = extract(FRAME, np.array([box, good, box]))
    assert features.shape == (3, 512)
    assert not features[[0, 2]].any()
    np.testing.assert_array_equal(features[1], extract([FRAME[20:50, 10:30, ::-1].copy()])[0])


def test_the_boxes_of_several_frames_may_be_one_tensor(extract):
    boxes = torch.tensor([[[0, 0, 9, 9]], [[5, 5, 30, 40]]])
    for found, expected in zip(extract([FRAME, FRAME], boxes), extract([FRAME, FRAME], boxes.tolist()), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_several_frames_give_what_each_gives_alone(extract):
    other = FRAME[:40, ::-1].copy()
    boxes = [[[0, 0, 20, 40], [5, 5, 30, 50]], [], [[3, 4, 40, 60]]]
    together = extract([FRAME, other, other], boxes)
    assert [len(rows) for rows in together] == [2, 0, 1]
    for found, frame, own in zip(together, (FRAME, other, other), boxes, strict=True):
        np.testing.assert_allclose(found, extract(frame, own), atol=1e-6)


@pytest.mark.parametrize("nothing", [[], np.zeros((0, 4)), np.zeros((0, 6))])
def test_no_boxes_give_no_rows(extract, nothing):
    assert extract(FRAME, nothing).shape == (0, 512)
    assert extract([], []) == []


@pytest.mark.parametrize(
    ("frames", "boxes", "words"),
    [
        (FRAME, [[0, 0, 9, 9, 0.8, 0]], r"\(1, 6\); leave out what stands behind the edges: boxes\[:, :4\]"),
        (FRAME, [0, 0, 9, 9], r"boxes must be \(N, 4\): left, top, right, bottom, got \(4,\)"),
        (FRAME[..., 0], [[0, 0, 9, 9]], r"frame 0: must be an array \(H, W, 3\) uint8 BGR, .* got \(60, 80\) uint8"),
        (FRAME / 255, [[0, 0, 9, 9]], "got .* float64"),
        ([FRAME, "b.jpg"], [[[0, 0, 9, 9]], []], "frame 1: .* got str"),
        ([FRAME, FRAME], [[[0, 0, 9, 9]]], "2 frames with the boxes of 1"),
        ([FRAME], [[["a", 0, 9, 9]]], r"frame 0: boxes must be an array \(N, 4\) of numbers, .* convert string"),
        ([FRAME], [[[0, 0, 9, 9], [1]]], r"frame 0: boxes must be an array \(N, 4\) of numbers, got list"),
        ([FRAME], 3, "boxes: of several frames a list"),
        ("photo.jpg", [[0, 0, 9, 9]], "images: with boxes a frame .*, got str; read a file with cv2.imread"),
        (Path("photo.jpg"), [[0, 0, 9, 9]], "images: with boxes a frame .* got PosixPath"),
    ],
)
def test_what_is_no_frame_or_box_is_refused(extract, frames, boxes, words):
    with pytest.raises(ValueError, match=words):
        extract(frames, boxes)
