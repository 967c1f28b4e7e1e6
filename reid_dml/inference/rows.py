"""The rows of images, one for each: joined batch by batch, shared out over processes, and gathered again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from reid_dml.processes import gather_objects


def join_rows(batches: Iterable[Mapping[int, np.ndarray]], widths: Mapping[int, int]) -> dict[int, np.ndarray]:
    """Batches of rows by network, one below the other.

    Args:
        batches: (n, D_k) by network each.
        widths: D_k of every network, for the case that there is no batch.

    Returns:
        (N, D_k) by network; (0, D_k) float32 without a batch.
    """
    parts: dict[int, list[np.ndarray]] = {index: [] for index in widths}
    for batch in batches:
        for index, values in batch.items():
            parts[index].append(values)
    return {
        index: np.concatenate(part) if part else np.empty((0, widths[index]), np.float32)
        for index, part in parts.items()
    }


def shard_rows(count: int, batch_size: int, shard: int, shards: int) -> np.ndarray:
    """Positions of the images that fall to one of several processes: whole batches, dealt out in turn.

    Every image is then computed among the same neighbours as in one process, and the features do not depend on the
    number of processes.

    Args:
        count: number of all images.
        batch_size: images per batch.
        shard, shards: number of this process, from 0, and of all that share the images.

    Returns:
        (n,) int64, rising.
    """
    return np.flatnonzero(np.arange(count) // batch_size % shards == shard)


def gather_rows(features: Mapping[int, np.ndarray], rows: np.ndarray, count: int) -> dict[int, np.ndarray]:
    """Whole feature arrays from the rows of every process.

    Args:
        features: (n, D_k) of this process's networks by index.
        rows: (n,) positions of these images among all.
        count: number of all images.

    Returns:
        On process 0 (count, D_k) by index, for the networks of all processes; elsewhere an empty dict.
    """
    whole: dict[int, np.ndarray] = {}
    for own_rows, own in gather_objects((rows, dict(features))):
        for index, values in own.items():
            if count and not len(own_rows):
                continue  # who has seen no image need not know how wide a row is
            array = whole.setdefault(index, np.empty((count, values.shape[1]), np.float32))
            array[own_rows] = values
    return whole
