"""Resumable extraction: finished parts are on disk, and an interrupted extraction goes on behind them."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
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
    positions = part_positions(len(images), batch_size)
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
    found = features_in_parts(
        networks,
        images,
        spec,
        [positions[part] for part in missing],
        device=device,
        batch_size=batch_size,
        workers=workers,
        title=title,
        speed=speed,
    )
    with closing(found):
        for part, features in zip(missing, found, strict=True):
            parts[part] = features
            store.save(part, {str(index): values for index, values in features.items()})
    return _concatenated([positions[part] for part in own]), join_rows((parts[part] for part in own), widths)


def part_positions(count: int, batch_size: int) -> list[np.ndarray]:
    """The positions of the images of every part: whole batches, whatever the number of processes.

    Args:
        count: of all images.
        batch_size: images per batch.
    """
    size = batch_size * min(max(count // (batch_size * _PARTS), 1), _MOST_BATCHES)
    return np.split(np.arange(count), range(size, count, size))


def features_in_parts(
    networks: Mapping[int, ReIDNetwork],
    images: StoredImages,
    spec: AugmentSpec,
    parts: Sequence[np.ndarray],
    *,
    device: str,
    batch_size: int,
    workers: int = 2,
    title: str = "images",
    speed: Speed | None = None,
) -> Generator[dict[int, np.ndarray]]:
    """The features of some images, part after part without a pause between two.

    Args:
        networks, images, spec: as for `extract_resumably`.
        parts: positions (n,) of the images of each, such as those of `part_positions`.
        device, batch_size, workers, title, speed: as in `inference.outputs.outputs_of_images`.

    Yields:
        (n, D_k) float32 of every network.
    """
    batches = outputs_of_images(
        networks,
        images.at(_concatenated(parts)),
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
        rest = dict[int, np.ndarray]()
        for rows in parts:
            found, count = [rest] if rest else [], len(rows) - _length(rest)
            while count > 0:  # a part ends where a batch does, unless broken images are left out
                found.append(next(batches))
                count -= _length(found[-1])
            joined = join_rows(found, feature_widths(networks))
            yield {index: values[: len(rows)] for index, values in joined.items()}
            rest = {index: values[len(rows) :] for index, values in joined.items()} if count else {}


def _length(batch: Mapping[int, np.ndarray]) -> int:
    return len(next(iter(batch.values()))) if batch else 0


def _concatenated(positions: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, np.int64), *positions])
