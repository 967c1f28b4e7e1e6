"""Our features in the trackers of BoxMOT: an `AppearanceEncoder` as its version 25 asks for.

BoxMOT is under the AGPL and no dependency of ours; nothing of it is loaded before it asks for `requirements`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from reid_dml.features.extractor import FeatureExtractor

_BLACK = np.zeros((1, 1, 3), np.uint8)
_WHOLE = [[0.0, 0.0, 1.0, 1.0]]


class BoxMOTEncoder:
    """`BoxMOTEncoder(FeatureExtractor.from_run("runs/quickstart"))`, for the argument `reid` of BoxMOT's pipelines."""

    def __init__(self, extractor: FeatureExtractor) -> None:
        self.extractor = extractor

    @property
    def embedding_dim(self) -> int:
        """Width of a feature."""
        return int(self.extractor([]).shape[1])

    @property
    def requirements(self) -> Any:
        """BoxMOT's word for needing nothing but boxes."""
        from boxmot.reid.protocols import EncoderRequirements

        return EncoderRequirements()

    def encode(self, frames: Sequence[Any], detections: Sequence[Any]) -> list[torch.Tensor]:
        """The features of the detections of each frame.

        A box without a pixel gets the feature of a black image, as in BoxMOT, which refuses rows of zeros.

        Args:
            frames: `boxmot.structures.Frame`, whose `image` is (3, H, W) uint8 RGB.
            detections: `boxmot.structures.Detections` with boxes that are not oriented, of each frame.

        Returns:
            For each frame (N, D) float32 on the CPU, rows of length 1.

        Raises:
            ValueError: oriented boxes, or not as many detections as frames.
        """
        pictures = [np.ascontiguousarray(frame.image.numpy()[::-1].transpose(1, 2, 0)) for frame in frames]
        boxes = [own.geometry.values.numpy() for own in detections]
        if any(own.shape[1] != 4 for own in boxes):
            raise ValueError("oriented boxes: features are of upright persons in boxes (left, top, right, bottom)")
        found = self.extractor(pictures, boxes)
        for own in found:
            if len(empty := np.flatnonzero(~own.any(axis=1))):
                own[empty] = self.extractor(_BLACK, _WHOLE)
        return [torch.from_numpy(own) for own in found]
