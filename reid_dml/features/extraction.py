"""Features of many images through one or several networks, every image read once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.stored import StoredImages
from reid_dml.errors import UserError
from reid_dml.inference.forward import read_batches, run_networks
from reid_dml.inference.speed import Speed
from reid_dml.models import ReIDNetwork
from reid_dml.processes import rank


def extract_features(
    networks: Mapping[int, ReIDNetwork], images: StoredImages, spec: AugmentSpec, **options: Any
) -> dict[int, np.ndarray]:
    """The pooled features of every network, (N, D_k) float32 each, in the order of the images.

    Options and errors are those of `features_of_batches`.
    """
    parts: dict[int, list[np.ndarray]] = {index: [] for index in networks}
    for found in features_of_batches(networks, images, spec, **options):
        for index, values in found.items():
            parts[index].append(values)
    return {
        index: np.concatenate(part) if part else np.empty((0, networks[index].feature_dim), np.float32)
        for index, part in parts.items()
    }


def features_of_batches(
    networks: Mapping[int, ReIDNetwork],
    images: StoredImages,
    spec: AugmentSpec,
    *,
    device: str,
    batch_size: int = 128,
    workers: int = 2,
    title: str = "images",
    speed: Speed | None = None,
) -> Iterator[dict[int, np.ndarray]]:
    """The pooled features of every network, (n, D_k) float32 each, for some images after the other.

    `workers` threads read images while the networks work on others; what was needed is added to `speed`. Raises
    `UserError` naming the first image whose features are not finite, or that cannot be read.
    """
    speed, done, started = speed if speed is not None else Speed(), 0, time.perf_counter()
    with tqdm(total=len(images), desc=title, unit="image", leave=False, disable=rank() > 0) as bar:
        batches = read_batches(images, batch_size, workers, pinned=device != "cpu", speed=speed)
        outputs = run_networks(networks, batches, spec, device)
        pooled = ({index: output.features.float() for index, output in batch.items()} for batch in outputs)
        for tensors in _on_host(pooled):
            found = {index: values.numpy() for index, values in tensors.items()}
            for index, values in found.items():
                if not np.isfinite(values).all():
                    bad = np.flatnonzero(~np.isfinite(values).all(1))[0]
                    raise UserError(
                        f"network {index}: features are NaN or infinite, first those of "
                        f"{images.records[done + bad].path}; train it anew or check its weights"
                    )
            yield found
            done += len(values)
            bar.update(len(values))
    speed.images += done
    speed.seconds += time.perf_counter() - started


def _on_host(batches: Iterable[dict[int, Tensor]]) -> Iterator[dict[int, Tensor]]:
    """The same on the CPU. A GPU goes on with the next batch while one is fetched from it."""
    waiting: deque[tuple[dict[int, Tensor], torch.cuda.Event | None]] = deque()
    for tensors in batches:
        on_gpu = any(tensor.is_cuda for tensor in tensors.values())
        fetched = {index: tensor.to("cpu", non_blocking=True) for index, tensor in tensors.items()}
        waiting.append((fetched, torch.cuda.current_stream().record_event() if on_gpu else None))
        if len(waiting) > (1 if on_gpu else 0):
            yield _wait(*waiting.popleft())
    while waiting:
        yield _wait(*waiting.popleft())


def _wait(tensors: dict[int, Tensor], event: torch.cuda.Event | None) -> dict[int, Tensor]:
    if event is None:
        return tensors
    event.synchronize()
    return {index: tensor.clone() for index, tensor in tensors.items()}  # what a GPU writes into stays locked in memory
