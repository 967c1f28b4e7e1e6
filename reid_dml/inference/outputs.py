"""The one loop over images: read, forward, keep a part of each output, check it, bring it to the host."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.stored import StoredImages
from reid_dml.errors import UserError
from reid_dml.inference.forward import forward_batches
from reid_dml.inference.reading import read_batches
from reid_dml.inference.speed import Speed
from reid_dml.models import Output, ReIDNetwork
from reid_dml.processes import rank


def outputs_of_images(
    networks: Mapping[int, ReIDNetwork],
    images: StoredImages,
    spec: AugmentSpec,
    *,
    keep: Callable[[Output, slice], Tensor],
    what: str,
    device: str,
    batch_size: int = 128,
    workers: int = 2,
    title: str = "",
    speed: Speed | None = None,
) -> Generator[dict[int, np.ndarray], None, None]:
    """What `keep` makes of every network's output, for some images after the other; every image is read once.

    Args:
        networks: by their index in the cohort.
        images: what to read; the paths of their records name images in messages.
        spec: how stored images become inputs of the networks.
        keep: from an output and the positions of its images to the tensor (n, D) that is wanted, non-finite where the
            output is.
        what: what `keep` looks at, for messages: `features` or `logits`.
        device: where the networks are.
        batch_size: images that are read together and, on a GPU, computed together.
        workers: threads that read images.
        title: of the progress bar; without one there is no bar.
        speed: images, seconds, and the seconds spent waiting for images are added to it.

    Yields:
        (n, D) by network, the batches in the images' order.

    Raises:
        UserError: an image that cannot be read, or, naming the first, a result that is NaN or infinite.
    """
    speed, started, done = speed if speed is not None else Speed(), time.perf_counter(), 0
    batches = read_batches(images, batch_size, workers, pinned=device != "cpu", speed=speed)
    outputs = forward_batches(networks, batches, spec, device, count=len(images))
    hidden = not title or rank() > 0
    with tqdm(total=len(images), desc=title, unit="image", leave=False, disable=hidden or None) as bar:
        try:
            for kept in _to_host(_kept(outputs, keep)):
                for index, values in kept.items():
                    _check_finite(values, f"network {index}: {what}", images, done)
                count = len(next(iter(kept.values())))
                done += count
                bar.update(count)
                yield kept
        finally:
            speed.images += done
            speed.seconds += time.perf_counter() - started


def _kept(
    outputs: Iterable[Mapping[int, Output]], keep: Callable[[Output, slice], Tensor]
) -> Iterator[dict[int, Tensor]]:
    start = 0
    for batch in outputs:
        stop = start + len(next(iter(batch.values())).features)
        yield {index: keep(output, slice(start, stop)) for index, output in batch.items()}
        start = stop


def _check_finite(values: np.ndarray, what: str, images: StoredImages, start: int) -> None:
    if not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values).all(1))[0]
        raise UserError(
            f"{what} are NaN or infinite, first those of {images.records[start + bad].path}; train it anew or check "
            "its weights"
        )


def _to_host(batches: Iterable[dict[int, Tensor]]) -> Iterator[dict[int, np.ndarray]]:
    """The same as arrays. A GPU goes on with the next batch while one is fetched from it."""
    waiting: deque[tuple[dict[int, Tensor], torch.cuda.Event | None]] = deque()
    for tensors in batches:
        on_gpu = any(tensor.is_cuda for tensor in tensors.values())
        fetched = {index: tensor.to("cpu", non_blocking=True) for index, tensor in tensors.items()}
        waiting.append((fetched, torch.cuda.current_stream().record_event() if on_gpu else None))
        if len(waiting) > (1 if on_gpu else 0):
            yield _arrays(*waiting.popleft())
    while waiting:
        yield _arrays(*waiting.popleft())


def _arrays(tensors: dict[int, Tensor], event: torch.cuda.Event | None) -> dict[int, np.ndarray]:
    if event is None:
        return {index: tensor.numpy() for index, tensor in tensors.items()}
    event.synchronize()
    # Copied: the memory that a GPU writes into is page-locked.
    return {index: tensor.clone().numpy() for index, tensor in tensors.items()}
