"""Batches of stored images through one or several networks; threads read the next ones meanwhile."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from reid_dml.data.pipeline.augment import AugmentSpec, augment
from reid_dml.data.stored import ReadAhead, StoredImages
from reid_dml.inference.speed import Speed
from reid_dml.models import Output, ReIDNetwork

_LOOK_AHEAD = 3  # batches read in advance
# A CPU takes so many images at a time: their activations stay in its caches, those of 128 do not.
_CPU_IMAGES = 16
_MOST_CPU_WORKERS = 8  # Python itself would be what more of them wait for

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_networks(
    networks: Mapping[int, ReIDNetwork], batches: Iterable[np.ndarray | Tensor], spec: AugmentSpec, device: str
) -> Iterator[dict[int, Output]]:
    """Outputs of every network, in evaluation mode, for stored images (N, 3, H0, W0) uint8, in their order.

    On a CPU every batch is cut into smaller ones, so there are more outputs than batches. Its threads then work on
    different images instead of sharing each operation: none waits for another where a core is busy with other work.
    """
    modes = {index: network.training for index, network in networks.items()}
    for network in networks.values():
        network.eval()

    @torch.inference_mode()
    def forward(images: Tensor) -> dict[int, Output]:
        inputs = augment(images.to(device, non_blocking=True), None, spec)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        outputs = {index: network(inputs) for index, network in networks.items()}
        if not spec.test_flip:
            return outputs
        mirrored = {index: network(inputs.flip(3)) for index, network in networks.items()}
        return {
            index: Output((own.logits + mirrored[index].logits) / 2, (own.features + mirrored[index].features) / 2)
            for index, own in outputs.items()
        }

    tensors = (torch.as_tensor(images) for images in batches)
    try:
        if device == "cpu":
            yield from _by_several_threads(forward, (part for images in tensors for part in images.split(_CPU_IMAGES)))
        else:
            yield from map(forward, tensors)
    finally:
        for index, network in networks.items():
            network.train(modes[index])


def shard_rows(count: int, batch_size: int, part: int, parts: int) -> np.ndarray:
    """Positions of the images that fall to one of several processes: whole batches, dealt out in turn.

    Every image is then computed among the same neighbours as in one process, and the features do not depend on the
    number of processes.
    """
    return np.flatnonzero(np.arange(count) // batch_size % parts == part)


def read_batches(
    images: StoredImages, batch_size: int, workers: int, *, pinned: bool = False, speed: Speed | None = None
) -> Iterator[Tensor]:
    """Stored images batch by batch, (<= batch_size, 3, height, width) uint8 on the CPU, read by threads in advance.

    The time spent waiting for them is added to `speed`.
    """
    order = np.arange(len(images))

    def rows(number: int) -> np.ndarray:
        return order[number * batch_size : (number + 1) * batch_size]

    ahead = ReadAhead(images, rows, workers, ahead=_LOOK_AHEAD, pinned=pinned)
    try:
        for number in range(-(-len(images) // batch_size)):
            asked = time.perf_counter()
            batch = ahead.batch(number)
            if speed is not None:
                speed.waiting += time.perf_counter() - asked
            yield batch
    finally:
        ahead.close()


def _by_several_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map` by as many threads as torch would use for one operation, in order, only a few items ahead."""
    threads = torch.get_num_threads()
    workers = min(threads, _MOST_CPU_WORKERS)
    remaining = iter(items)
    first = list(islice(remaining, 2))
    if workers == 1 or len(first) < 2:
        yield from map(work, first)
        yield from map(work, remaining)
        return
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,))
    try:
        for source in (first, remaining):
            for item in source:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # the threads' setting is also that of threads to come
