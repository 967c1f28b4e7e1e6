"""Batches of a training set, either of images that are all in memory or read as they are needed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from reid_dml.data.broken import all_broken_named
from reid_dml.data.pipeline.cache import open_images
from reid_dml.data.pipeline.draws import augmentation_draws
from reid_dml.data.pipeline.samplers import Sampler, sampler_kind
from reid_dml.data.pipeline.samplers.checks import check_size
from reid_dml.data.records import ImageRecord
from reid_dml.data.stored import ReadAhead, StoredImages, read_all
from reid_dml.device import to_device

_LOOK_AHEAD = 4  # batches a streaming source prepares in advance


@dataclass(frozen=True)
class Batch:
    """Fixed shapes for a whole run."""

    images: Tensor  # (N, 3, H0, W0) uint8 at the stored size
    labels: Tensor  # (N,) int64 row of the identity head; -1 = unlabelled
    cameras: Tensor  # (N,) int64
    draws: Tensor  # (N, P) float32, the random numbers augmentation will use
    # 0-d, what sums over labelled rows are divided by; None: their number. A shard carries the whole batch's number of
    # labelled rows divided by the number of shards.
    label_count: Tensor | None = None


@dataclass(frozen=True)
class Shard:
    """What a process takes of every batch that several share: `number` of `count` equal shards, images in a row."""

    number: int = 0
    count: int = 1

    def of(self, size: int) -> slice:
        """Its places in a batch of so many images."""
        share = size // self.count
        return slice(self.number * share, (self.number + 1) * share)

    def label_count(self, labels: Tensor) -> Tensor | None:
        """`Batch.label_count`, from the labels (N,) of the whole batch.

        A mean over the labelled images of the whole batch is the mean over its shards of sums divided by this number.
        """
        return None if self.count == 1 else (labels >= 0).sum().clamp(min=1) / self.count


WHOLE = Shard()


class BatchSource(ABC):
    """`batch(step)` is a pure function of (seed, step): resume, ranks and both kinds of source agree bit for bit."""

    def __init__(
        self,
        images: StoredImages,
        class_ids: Sequence[int],
        sampler: Sampler,
        num_draws: int,
        device: str,
        shard: Shard,
    ) -> None:
        """Prepare labels and cameras on the device.

        Args:
            images: of the training set.
            class_ids: label of every row of the head; images of other labels count as unlabelled.
            sampler: says which images a batch holds.
            num_draws: random numbers that augmentation needs for an image.
            device: `cpu` or `cuda:N`.
            shard: of every batch that is this process's; only its images are read.
        """
        self.sampler, self.num_draws, self.device, self.shard = sampler, num_draws, device, shard
        self.labels = torch.tensor(label_rows(images.records, class_ids), device=device)
        self.cameras = torch.tensor([record.camera_id for record in images.records], device=device)

    def batch(self, step: int) -> Batch:
        """The batch of this step, or this process's shard of it, on the device.

        Raises `UserError` for a sampler that gives too few images, and for an image that cannot be read.
        """
        indices = self.sampler.indices(step)
        check_size(self.sampler, step, len(indices))
        draws = augmentation_draws(self.sampler.seed, step, len(indices), self.num_draws)
        whole, own = to_device(torch.from_numpy(indices), self.device), self.shard.of(len(indices))
        rows, labels = whole[own], self.labels[whole]
        drawn = to_device(torch.from_numpy(draws[own]), self.device)
        count = self.shard.label_count(labels)
        return Batch(self._images(step, rows), labels[own], self.cameras[rows], drawn, label_count=count)

    def own_rows(self, step: int) -> np.ndarray:
        """Positions of the images of the batch, or of this process's shard of it: (n,) int64."""
        indices = self.sampler.indices(step)
        return indices[self.shard.of(len(indices))]

    @abstractmethod
    def _images(self, step: int, rows: Tensor) -> Tensor:
        """Stored images of a batch, those of `own_rows`, on the device: (n, 3, H0, W0) uint8."""


class ResidentSource(BatchSource):
    """All images read once, kept as uint8 on the device: 3 x height x width bytes each."""

    def __init__(self, images: StoredImages, *args, workers: int) -> None:
        """Read all images by this many threads; the other arguments are those of `BatchSource`."""
        super().__init__(images, *args)
        with all_broken_named(images, workers):
            self.images = torch.from_numpy(read_all(images, workers)).to(self.device)

    def _images(self, step: int, rows: Tensor) -> Tensor:
        return self.images.index_select(0, rows)


class StreamingSource(BatchSource):
    """Images read by threads a few batches ahead; memory does not grow with the data set."""

    def __init__(self, images: StoredImages, *args, workers: int) -> None:
        """Let this many threads read; the other arguments are those of `BatchSource`."""
        super().__init__(images, *args)
        self.files, pinned = images, self.device.startswith("cuda")
        self._ahead = ReadAhead(images, self.own_rows, workers, ahead=_LOOK_AHEAD, pinned=pinned)

    def _images(self, step: int, rows: Tensor) -> Tensor:
        with all_broken_named(self.files):
            batch = self._ahead.batch(step)
        return batch.to(self.device, non_blocking=True)


def label_rows(records: Sequence[ImageRecord], class_ids: Sequence[int]) -> list[int]:
    """The row of the classifier's head of every image; -1 for a label without one."""
    rows = {label: row for row, label in enumerate(class_ids)}
    return [rows.get(record.label, -1) for record in records]


def make_sampler(cfg: CfgNode, records: Sequence[ImageRecord], class_ids: Sequence[int]) -> Sampler:
    """The sampler of `SAMPLER.NAME`.

    Args:
        cfg: the config.
        records: the training images.
        class_ids: person id, or class, of every row of the heads.

    Raises:
        UserError: a data set that is too small for its batches.
    """
    labels = np.array(label_rows(records, class_ids), np.int64)
    cameras = np.array([record.camera_id for record in records], np.int64)
    return sampler_kind(cfg.SAMPLER).build(labels, cameras, cfg.TRAIN.BATCH_SIZE, cfg.SEED)


def make_source(
    cfg: CfgNode,
    records: Sequence[ImageRecord],
    class_ids: Sequence[int],
    num_draws: int,
    device: str,
    shard: Shard = WHOLE,
) -> BatchSource:
    """The training source of a config.

    Args:
        cfg: its batches, sampler and kind of source.
        records: the training images.
        class_ids: label of every row of the head.
        num_draws: random numbers that augmentation needs for an image.
        device: `cpu` or `cuda:N`.
        shard: of every batch that is this process's.

    Raises:
        UserError: a data set too small for its batches, or an image that cannot be read.
    """
    sampler = make_sampler(cfg, records, class_ids)
    images = open_images(cfg, records, "train")
    height, width = cfg.DATA.STORED_SIZE
    size, limit = 3 * height * width * len(records), cfg.DATA.RESIDENT_LIMIT_GB * 2**30
    if device.startswith("cuda"):
        limit = min(limit, torch.cuda.mem_get_info(device)[0] / 4)  # most is for activations
    fits = size <= limit
    resident = cfg.DATA.SOURCE == "resident" or (cfg.DATA.SOURCE == "auto" and fits)
    kind = ResidentSource if resident else StreamingSource
    return kind(images, class_ids, sampler, num_draws, device, shard, workers=cfg.DATA.WORKERS)
