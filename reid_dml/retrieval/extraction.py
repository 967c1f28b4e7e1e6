"""Features of many images through one or several networks, every image read once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from reid_dml.data.pipeline.augment import AugmentSpec, augment
from reid_dml.data.stored import ReadAhead, StoredImages
from reid_dml.errors import UserError
from reid_dml.models import Output, ReIDNetwork
from reid_dml.processes import gather_objects, rank

_LOOK_AHEAD = 3  # batches read in advance
# A CPU takes so many images at a time: their activations stay in its caches, those of 128 do not.
_CPU_IMAGES = 16
_MOST_CPU_WORKERS = 8  # Python itself would be what more of them wait for

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Speed:
    """How fast images went through the networks."""

    images: int = 0
    seconds: float = 0.0
    waiting: float = 0.0  # of these seconds, until the images were there

    @staticmethod
    def together(parts: Sequence[Speed]) -> Speed:
        """Of processes that worked side by side."""
        slowest = max(parts, key=lambda part: part.seconds)
        return Speed(sum(part.images for part in parts), slowest.seconds, slowest.waiting)

    def __str__(self) -> str:
        seconds = max(self.seconds, 1e-9)
        return (
            f"{self.images:,} images in {self.seconds:.1f} s, {self.images / seconds:,.0f} images/s, "
            f"{self.waiting / seconds:.0%} of the time waiting for them"
        )


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


def dealt_rows(count: int, batch_size: int, part: int, parts: int) -> np.ndarray:
    """Positions of the images that fall to one of several processes: whole batches, dealt out in turn.

    Every image is then computed among the same neighbours as in one process, and the features do not depend on the
    number of processes.
    """
    return np.flatnonzero(np.arange(count) // batch_size % parts == part)


def print_speed(speed: Speed) -> None:
    """Print, on process 0, how fast all processes were together; each gives its own."""
    parts = gather_objects(speed)
    if rank() == 0:
        print(f"features of {Speed.together(parts)}", flush=True)


def count_correct(
    networks: Mapping[int, ReIDNetwork],
    images: StoredImages,
    class_ids: Sequence[int],
    spec: AugmentSpec,
    *,
    device: str,
    batch_size: int = 128,
    workers: int = 2,
) -> dict[int, int]:
    """Number of images whose largest logit is their own identity's, in evaluation mode, for every network."""
    rows = {person: row for row, person in enumerate(class_ids)}
    labels = torch.tensor([rows[record.person_id] for record in images.records])
    correct = dict.fromkeys(networks, 0)
    done = 0
    batches = read_batches(images, batch_size, workers, pinned=device != "cpu")
    for outputs in run_networks(networks, batches, spec, device):
        count = len(next(iter(outputs.values())).logits)
        for index, output in outputs.items():
            correct[index] += int((output.logits.argmax(1).cpu() == labels[done : done + count]).sum())
        done += count
    return correct


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
    if event is not None:
        event.synchronize()
    return tensors
