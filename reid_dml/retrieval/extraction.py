"""Features of many images through one or several networks, every image decoded once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from tqdm import tqdm

from reid_dml.data.images import load_image
from reid_dml.data.pipeline.augment import AugmentSpec, augment
from reid_dml.data.records import ImageRecord
from reid_dml.errors import UserError
from reid_dml.models import Output, ReIDNetwork
from reid_dml.processes import rank

_LOOK_AHEAD = 3  # batches decoded in advance


def run_networks(
    networks: Mapping[int, ReIDNetwork], batches: Iterable[np.ndarray], spec: AugmentSpec, device: str
) -> Iterator[dict[int, Output]]:
    """Outputs of every network, in evaluation mode, for each batch of stored images (N, 3, H0, W0) uint8."""
    modes = {index: network.training for index, network in networks.items()}
    for network in networks.values():
        network.eval()
    try:
        with torch.inference_mode():
            for images in batches:
                inputs = augment(torch.from_numpy(images).to(device), None, spec)
                inputs = inputs.contiguous(memory_format=torch.channels_last)
                yield {index: network(inputs) for index, network in networks.items()}
    finally:
        for index, network in networks.items():
            network.train(modes[index])


def extract_features(
    networks: Mapping[int, ReIDNetwork],
    records: Sequence[ImageRecord],
    spec: AugmentSpec,
    *,
    stored_size: Sequence[int],
    device: str,
    batch_size: int = 128,
    workers: int = 2,
    title: str = "images",
) -> dict[int, np.ndarray]:
    """The pooled features of every network, (N, D_k) float32 each, in the order of the records.

    Raises `UserError` naming the first image whose features are not finite, or that cannot be read.
    """
    parts: dict[int, list[np.ndarray]] = {index: [] for index in networks}
    with tqdm(total=len(records), desc=title, unit="image", leave=False, disable=rank() > 0) as bar:
        batches = decoded_batches(records, stored_size, batch_size, workers)
        for outputs in run_networks(networks, batches, spec, device):
            for index, output in outputs.items():
                parts[index].append(output.features.float().cpu().numpy())
            bar.update(len(next(iter(outputs.values())).features))
    features = {
        index: np.concatenate(part) if part else np.empty((0, networks[index].feature_dim), np.float32)
        for index, part in parts.items()
    }
    for index, values in features.items():
        bad = np.flatnonzero(~np.isfinite(values).all(1))
        if len(bad):
            raise UserError(
                f"network {index}: features of {len(bad)} images are NaN or infinite, first "
                f"{records[bad[0]].path}; train it anew or check its weights"
            )
    return features


def dealt_rows(count: int, batch_size: int, part: int, parts: int) -> np.ndarray:
    """Positions of the images that fall to one of several processes: whole batches, dealt out in turn.

    Every image is then computed among the same neighbours as in one process, and the features do not depend on the
    number of processes.
    """
    return np.flatnonzero(np.arange(count) // batch_size % parts == part)


def count_correct(
    networks: Mapping[int, ReIDNetwork],
    records: Sequence[ImageRecord],
    class_ids: Sequence[int],
    spec: AugmentSpec,
    *,
    stored_size: Sequence[int],
    device: str,
    batch_size: int = 128,
    workers: int = 2,
) -> dict[int, int]:
    """Number of images whose largest logit is their own identity's, in evaluation mode, for every network."""
    rows = {person: row for row, person in enumerate(class_ids)}
    labels = torch.tensor([rows[record.person_id] for record in records])
    correct = dict.fromkeys(networks, 0)
    done = 0
    batches = decoded_batches(records, stored_size, batch_size, workers)
    for outputs in run_networks(networks, batches, spec, device):
        count = len(next(iter(outputs.values())).logits)
        for index, output in outputs.items():
            correct[index] += int((output.logits.argmax(1).cpu() == labels[done : done + count]).sum())
        done += count
    return correct


def decoded_batches(
    records: Sequence[ImageRecord], size: Sequence[int], batch_size: int, workers: int
) -> Iterator[np.ndarray]:
    """Stored images batch by batch, (<= batch_size, 3, *size) uint8, decoded by threads a few batches ahead."""
    starts = range(0, len(records), batch_size)
    with ThreadPoolExecutor(workers) as pool:

        def submit(start: int) -> list[Future[np.ndarray]]:
            return [pool.submit(load_image, record.image, size) for record in records[start : start + batch_size]]

        waiting = [submit(start) for start in starts[:_LOOK_AHEAD]]
        try:
            for number in range(len(starts)):
                images = np.stack([future.result() for future in waiting.pop(0)])
                if number + _LOOK_AHEAD < len(starts):
                    waiting.append(submit(starts[number + _LOOK_AHEAD]))
                yield images
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
