"""Predictions of trained networks for many images, every image read once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from torch import Tensor

from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.stored import StoredImages
from reid_dml.inference.outputs import outputs_of_images
from reid_dml.inference.rows import join_rows
from reid_dml.models import Output, ReIDNetwork


def predict(
    networks: Mapping[int, ReIDNetwork],
    images: StoredImages,
    spec: AugmentSpec,
    *,
    keep: Callable[[Tensor, slice], Tensor],
    device: str,
    batch_size: int = 128,
    workers: int = 2,
    title: str = "images",
) -> dict[int, np.ndarray]:
    """What `keep` makes of every network's logits, in evaluation mode, in the images' order.

    Args:
        networks: by their index in the cohort.
        images: what to read.
        spec: how stored images become inputs of the networks.
        keep: from logits (n, C) float32, on the device, and the positions of their images to (n, D), non-finite where
            the logits are.
        device, batch_size, workers, title: as in `outputs.outputs_of_images`.

    Returns:
        (N, D) by network; (0, 0) without an image.

    Raises:
        UserError: an image that cannot be read, or, naming the first, logits that are not finite.
    """

    def kept(output: Output, places: slice) -> Tensor:
        return keep(output.logits.float(), places)

    found = outputs_of_images(
        networks,
        images,
        spec,
        keep=kept,
        what="logits",
        device=device,
        batch_size=batch_size,
        workers=workers,
        title=title,
    )
    return join_rows(found, dict.fromkeys(networks, 0))
