"""Stored images batch by batch, read by threads while the networks work on earlier ones."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from reid_dml.data.broken import all_broken_named
from reid_dml.data.stored import ReadAhead, StoredImages
from reid_dml.inference.speed import Speed

_LOOK_AHEAD = 3  # batches read in advance


def read_batches(
    images: StoredImages, batch_size: int, workers: int, *, pinned: bool = False, speed: Speed | None = None
) -> Iterator[Tensor]:
    """Stored images in their order, (<= batch_size, 3, height, width) uint8 on the CPU at a time.

    Args:
        images: what to read.
        batch_size: images per batch; the last one may be smaller.
        workers: threads that read.
        pinned: into page-locked memory, from which a GPU can fetch a batch by itself.
        speed: the seconds spent waiting for images are added to it.

    Raises:
        UserError: an image that cannot be read.
    """
    order = np.arange(len(images))

    def rows(number: int) -> np.ndarray:
        return order[number * batch_size : (number + 1) * batch_size]

    ahead = ReadAhead(images, rows, workers, ahead=_LOOK_AHEAD, pinned=pinned)
    try:
        for number in range(-(-len(images) // batch_size)):
            asked = time.perf_counter()
            with all_broken_named(images, workers):
                batch = ahead.batch(number)
            if speed is not None:
                speed.waiting += time.perf_counter() - asked
            yield batch
    finally:
        ahead.close()
