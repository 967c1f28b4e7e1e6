"""Pooled features of many images through one or several networks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.stored import StoredImages
from reid_dml.inference.outputs import outputs_of_images
from reid_dml.inference.rows import join_rows
from reid_dml.inference.speed import Speed
from reid_dml.models import Output, ReIDNetwork


def extract_features(
    networks: Mapping[int, ReIDNetwork],
    images: StoredImages,
    spec: AugmentSpec,
    *,
    device: str,
    batch_size: int = 128,
    workers: int = 2,
    title: str = "images",
    speed: Speed | None = None,
) -> dict[int, np.ndarray]:
    """The pooled features of every network, in the order of the images.

    Args:
        networks: by their index in the cohort.
        images: what to read.
        spec: how stored images become inputs of the networks.
        device, batch_size, workers, title, speed: as in `inference.outputs.outputs_of_images`.

    Returns:
        (N, D_k) float32 by network.

    Raises:
        UserError: an image that cannot be read, or, naming the first, features that are not finite.
    """
    found = outputs_of_images(
        networks,
        images,
        spec,
        keep=pooled_features,
        what="features",
        device=device,
        batch_size=batch_size,
        workers=workers,
        title=title,
        speed=speed,
    )
    return join_rows(found, feature_widths(networks))


def pooled_features(output: Output, _: slice) -> Tensor:
    """What the loop over images keeps: (n, D_k) float32."""
    return output.features.float()


def feature_widths(networks: Mapping[int, ReIDNetwork]) -> dict[int, int]:
    """D_k of every network."""
    return {index: network.feature_dim for index, network in networks.items()}
