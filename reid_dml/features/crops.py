"""Persons in the frames of a video: the crops of a detector's boxes, and a feature for every box."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Features = Callable[[list[np.ndarray]], np.ndarray]  # of (H, W, 3) uint8 RGB images: (N, D) float32


def features_of_boxes(features: Features, frames: Sequence[np.ndarray], boxes: Sequence[object]) -> list[np.ndarray]:
    """A feature for every box of every frame; the crops of all frames go through the networks together.

    Args:
        features: of crops.
        frames: (H, W, 3) uint8 BGR, of any sizes.
        boxes: of each frame, as for `crop_boxes`.

    Returns:
        For each frame (N, D) float32 in the order of its boxes. A box without a pixel has a row of zeros: its
        similarity to everything is 0.

    Raises:
        ValueError: as `crop_boxes`, or not as many lists of boxes as frames.
    """
    if not hasattr(boxes, "__getitem__") or isinstance(boxes, str):  # tensors are no sequences
        raise ValueError(f"boxes: of several frames a list of (N, 4), one for each, got {type(boxes).__name__}")
    if len(frames) != len(boxes):
        raise ValueError(f"{len(frames)} frames with the boxes of {len(boxes)}; give the boxes of every frame")
    crops = [crop_boxes(frame, boxes[number], f"frame {number}") for number, frame in enumerate(frames)]
    rows = features([crop for own in crops for crop in own if crop is not None])
    found, taken = [], 0
    for own in crops:
        seen = np.array([crop is not None for crop in own], bool)
        found.append(np.zeros((len(own), rows.shape[1]), np.float32))
        found[-1][seen] = rows[taken : taken + seen.sum()]
        taken += seen.sum()
    return found


def crop_boxes(frame: np.ndarray, boxes: object, name: str = "the frame") -> list[np.ndarray | None]:
    """The part of a frame below each box, clipped to the frame, (h, w, 3) uint8 RGB.

    None for a box without a pixel: empty or inverted, outside of the frame, or with NaN. Infinite edges are clipped.

    Args:
        frame: (H, W, 3) uint8 BGR, as OpenCV reads it.
        boxes: (N, 4), left, top, right and bottom edge in pixels; pixels that an edge crosses belong to the crop. None
            or an empty list: no boxes. A tensor on a GPU has to be brought to the CPU first.
        name: of the frame, for errors.

    Raises:
        ValueError: another shape or type.
    """
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        got = f"{frame.shape} {frame.dtype}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise ValueError(f"{name}: must be an array (H, W, 3) uint8 BGR, as cv2.VideoCapture reads it, got {got}")
    try:
        edges = np.asarray([] if boxes is None else boxes, np.float64)
    except (TypeError, ValueError, RuntimeError) as error:  # tensors of a GPU, or with a gradient; ragged lists; words
        raise ValueError(
            f"{name}: boxes must be an array (N, 4) of numbers, got {type(boxes).__name__} ({error})"
        ) from None
    if edges.size == 0 and edges.ndim <= 2:
        return []
    if edges.ndim != 2 or edges.shape[1] != 4:
        hint = "; leave out what stands behind the edges: boxes[:, :4]" if edges.shape[-1:] > (4,) else ""
        raise ValueError(f"{name}: boxes must be (N, 4): left, top, right, bottom, got {edges.shape}{hint}")
    height, width = frame.shape[:2]
    clipped = edges.clip(0, [width, height, width, height])  # NaN stays
    there = (edges[:, 0] < edges[:, 2]) & (edges[:, 1] < edges[:, 3])
    there &= (clipped[:, 0] < clipped[:, 2]) & (clipped[:, 1] < clipped[:, 3])
    whole = np.concatenate([np.floor(clipped[:, :2]), np.ceil(clipped[:, 2:])], axis=1)
    whole = np.where(there[:, None], whole, 0).astype(int)
    return [
        np.ascontiguousarray(frame[top:bottom, left:right, ::-1]) if right > left else None
        for left, top, right, bottom in whole
    ]
