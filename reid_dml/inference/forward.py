"""Forward passes of one or several networks over batches of stored images, in evaluation mode."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from reid_dml.data.pipeline.augment import AugmentSpec, augment
from reid_dml.models import Output, ReIDNetwork
from reid_dml.threads import MOST_BATCHES_AT_ONCE

# A CPU takes so many images at a time: their activations stay in its caches, those of 128 do not.
_CPU_IMAGES = 16
# Images after which compiling, some 15 s a network, has paid for itself on a GPU.
_COMPILING_PAYS = 200_000

Item = TypeVar("Item")
Result = TypeVar("Result")


def forward_batches(
    networks: Mapping[int, ReIDNetwork], batches: Iterable[Tensor], spec: AugmentSpec, device: str, *, count: int = 0
) -> Iterator[dict[int, Output]]:
    """Outputs of every network, in evaluation mode, batch by batch and in the images' order.

    On a CPU every batch is cut into smaller ones, so there are more outputs than batches. Its threads then work on
    different images instead of sharing each operation: none waits for another where a core is busy with other work.

    Args:
        networks: by their index in the cohort; their training mode is restored at the end.
        batches: stored images, (N, 3, H0, W0) uint8 each.
        spec: how they become inputs, of which only what its `evaluation()` says has an effect, and whether networks are
            compiled (`TEST.COMPILE`).
        device: where the networks are.
        count: of all images; many are worth compiling the networks for.
    """
    if spec.test_compile == "True" or (spec.test_compile == "auto" and device != "cpu" and count >= _COMPILING_PAYS):
        for network in networks.values():
            if isinstance(network, ReIDNetwork):  # exported files are compiled already
                network.compile_evaluation()
    modes = {index: network.training for index, network in networks.items()}
    spec = spec.evaluation()  # what a fingerprint of features hashes is then all that features can depend on
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

    try:
        if device == "cpu":
            pieces = (piece for images in batches for piece in images.split(_CPU_IMAGES))
            yield from _map_by_threads(forward, pieces)
        else:
            yield from map(forward, batches)
    finally:
        for index, network in networks.items():
            network.train(modes[index])


def _map_by_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map` by as many threads as torch would use for one operation, in order, only a few items ahead."""
    threads = torch.get_num_threads()
    workers = min(threads, MOST_BATCHES_AT_ONCE)
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
