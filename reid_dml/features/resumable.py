"""Extraction in parts, each on disk as soon as it is done: what was interrupted goes on where it stopped."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.stored import StoredImages
from reid_dml.features.extraction import features_of_batches
from reid_dml.files import save_with
from reid_dml.models import ReIDNetwork
from reid_dml.processes import rank, world_size

_PARTS = 64  # at least, where there are as many batches
_MOST_BATCHES = 64  # in a part


def extract_in_parts(
    networks: Mapping[int, ReIDNetwork],
    images: StoredImages,
    spec: AugmentSpec,
    folder: Path,
    *,
    model: str,
    batch_size: int,
    **options: Any,
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """This process's share of the features, of which finished parts are kept in a folder and found there.

    Parts are whole batches and do not depend on the number of processes, among whom they are dealt out in turn:
    neither that number nor an interruption changes a feature. `model` is the networks' `runs.networks.fingerprint`.
    Further options and errors are those of `extraction.features_of_batches`.

    Returns:
        Positions (n,) of the images, and the features (n, D_k) float32 of every network.
    """
    size = batch_size * min(max(len(images) // (batch_size * _PARTS), 1), _MOST_BATCHES)
    positions = np.split(np.arange(len(images)), range(size, len(images), size))
    work = fingerprint(model, images, spec, batch_size)
    files = {part: folder / f"{work}_{part:05d}.npz" for part in range(rank(), len(positions), world_size())}
    parts = {part: found for part, file in files.items() if (found := _load(file)) is not None}
    missing = [part for part in files if part not in parts]
    if parts:
        done = sum(len(positions[part]) for part in parts)
        print(f"{folder}: {done:,} images were done before", flush=True)
    rows = np.concatenate([np.empty(0, np.int64), *(positions[part] for part in missing)])
    todo, batches = iter(missing), []
    for found in features_of_batches(networks, images.at(rows), spec, batch_size=batch_size, **options):
        # A part ends where a batch does.
        batches.append(found)
        if len(batches) == 1:
            part = next(todo)
        if sum(len(next(iter(batch.values()))) for batch in batches) == len(positions[part]):
            parts[part] = {index: np.concatenate([batch[index] for batch in batches]) for index in networks}
            _save(files[part], parts[part])
            batches = []
    empty = {index: np.empty((0, network.feature_dim), np.float32) for index, network in networks.items()}
    order = sorted(parts)
    features = {index: np.concatenate([empty[index], *(parts[part][index] for part in order)]) for index in networks}
    return np.concatenate([np.empty(0, np.int64), *(positions[part] for part in order)]), features


def fingerprint(model: str, images: StoredImages, spec: AugmentSpec, batch_size: int) -> str:
    """What features follow from: networks, images (by name, size and time of change) and how they are prepared."""
    digest = blake2b(repr((model, images.size, spec, batch_size)).encode(), digest_size=8)
    for record in images.records:
        status = os.stat(record.path)
        digest.update(f"{record.path}\0{status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _load(file: Path) -> dict[int, np.ndarray] | None:
    """Features by network of a finished part; None if there is none, or a damaged one."""
    try:
        with np.load(file) as arrays:
            return {int(index): arrays[index] for index in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _save(file: Path, features: Mapping[int, np.ndarray]) -> None:
    def save(draft: Path) -> None:
        arrays: dict[str, Any] = {str(index): values for index, values in features.items()}
        with draft.open("wb") as opened:
            np.savez(opened, **arrays)

    save_with(file, save)
