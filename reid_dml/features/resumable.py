"""Resumable extraction: finished parts are on disk, and an interrupted extraction goes on behind them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np

from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.stored import StoredImages
from reid_dml.features.extraction import feature_widths, pooled_features
from reid_dml.features.part_store import PartStore, files_fingerprint
from reid_dml.inference.outputs import outputs_of_images
from reid_dml.inference.rows import join_rows
from reid_dml.inference.speed import Speed
from reid_dml.models import ReIDNetwork
from reid_dml.processes import rank, world_size

logger = logging.getLogger(__name__)

_PARTS = 64  # at least, where there are as many batches
_MOST_BATCHES = 64  # in a part


def open_store(folder: Path, images: StoredImages, spec: AugmentSpec, *, model: str, batch_size: int) -> PartStore:
    """The store of an extraction: its parts follow from the images, their preparation, and the networks.

    Args:
        folder: where the parts are.
        images: image files.
        spec: how stored images become inputs of the networks.
        model: fingerprint of the networks, see `features.fingerprint`.
        batch_size: images per batch, of which parts are made.
    """
    paths = (record.path for record in images.records)
    return PartStore(folder, files_fingerprint(paths, model, images.size, spec.evaluation(), batch_size))


def extract_resumably(
    networks: Mapping[int, ReIDNetwork],
    images: StoredImages,
    spec: AugmentSpec,
    store: PartStore,
    *,
    device: str,
    batch_size: int,
    workers: int = 2,
    title: str = "images",
    speed: Speed | None = None,
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """This process's share of the features; parts that the store holds are taken from it, new ones are put there.

    Parts are whole batches and do not depend on the number of processes, among whom they are dealt out in turn:
    neither that number nor an interruption changes a feature.

    Args:
        networks: by their index in the cohort.
        images: what to read.
        spec: how stored images become inputs of the networks.
        store: of these very images, networks and options; see `open_store`.
        device, batch_size, workers, title, speed: as in `inference.outputs.outputs_of_images`.

    Returns:
        Positions (n,) of the images, and the features (n, D_k) float32 of every network.

    Raises:
        UserError: an image that cannot be read, or, naming the first, features that are not finite.
    """
    widths = feature_widths(networks)
    size = batch_size * min(max(len(images) // (batch_size * _PARTS), 1), _MOST_BATCHES)
    positions = np.split(np.arange(len(images)), range(size, len(images), size))
    own = range(rank(), len(positions), world_size())
    parts = {
        part: {int(index): values for index, values in arrays.items()}
        for part in own
        if (arrays := store.load(part, map(str, networks))) is not None
    }
    if parts:
        done = sum(len(positions[part]) for part in parts)
        logger.info("%s: %s images were done before", store.folder, f"{done:,}")
    missing = [part for part in own if part not in parts]
    rows = _concatenated([positions[part] for part in missing])
    batches = outputs_of_images(
        networks,
        images.at(rows),
        spec,
        keep=pooled_features,
        what="features",
        device=device,
        batch_size=batch_size,
        workers=workers,
        title=title,
        speed=speed,
    )
    with closing(batches):
        for part in missing:
            parts[part] = join_rows(_next_rows(batches, len(positions[part])), widths)
            store.save(part, {str(index): values for index, values in parts[part].items()})
    return _concatenated([positions[part] for part in own]), join_rows((parts[part] for part in own), widths)


def _next_rows(batches: Iterator[dict[int, np.ndarray]], count: int) -> Iterator[dict[int, np.ndarray]]:
    """As many batches as hold so many images; a part ends where a batch does."""
    while count > 0:
        batch = next(batches)
        count -= len(next(iter(batch.values())))
        yield batch


def _concatenated(positions: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, np.int64), *positions])
