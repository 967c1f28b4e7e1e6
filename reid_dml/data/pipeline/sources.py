"""Batches of a training set, either from images decoded once or decoded as they are needed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from reid_dml.data.images import load_image, load_images
from reid_dml.data.pipeline.samplers import (
    CrossCameraSampler,
    EpochSampler,
    IdentitySampler,
    QuotaSampler,
    Sampler,
    augmentation_draws,
)
from reid_dml.data.records import ImageRecord
from reid_dml.errors import UserError

_LOOK_AHEAD = 4  # batches a streaming source decodes in advance


@dataclass(frozen=True)
class Batch:
    """Fixed shapes for a whole run."""

    images: Tensor  # (N, 3, H0, W0) uint8 at the stored size
    labels: Tensor  # (N,) int64 row of the identity head; -1 = unlabelled
    cameras: Tensor  # (N,) int64
    draws: Tensor  # (N, P) float32, the random numbers augmentation will use
    # 0-d, what sums over labelled rows are divided by; None: their number. A part of a batch that several processes
    # share carries the whole batch's number of labelled rows divided by the number of parts.
    label_count: Tensor | None = None


class BatchSource(ABC):
    """`batch(step)` is a pure function of (seed, step): resume, ranks and both kinds of source agree bit for bit."""

    def __init__(
        self,
        records: Sequence[ImageRecord],
        class_ids: Sequence[int],
        sampler: Sampler,
        num_draws: int,
        device: str,
    ) -> None:
        self.records, self.sampler, self.num_draws, self.device = records, sampler, num_draws, device
        self.labels = torch.tensor(label_rows(records, class_ids))
        self.cameras = torch.tensor([record.camera_id for record in records])

    def batch(self, step: int) -> Batch:
        """The batch of this step, on the device."""
        indices = torch.from_numpy(self.sampler.indices(step))
        draws = augmentation_draws(self.sampler.seed, step, len(indices), self.num_draws)
        return Batch(
            self._images(step, indices),
            self._to_device(self.labels[indices]),
            self._to_device(self.cameras[indices]),
            self._to_device(torch.from_numpy(draws)),
        )

    @abstractmethod
    def _images(self, step: int, indices: Tensor) -> Tensor:
        """Stored images of a batch, on the device: (N, 3, H0, W0) uint8."""

    def _to_device(self, tensor: Tensor) -> Tensor:
        if self.device.startswith("cuda"):
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor


class ResidentSource(BatchSource):
    """All images decoded and resized once, kept as uint8 on the device: 3 x height x width bytes each."""

    def __init__(self, *args, size: Sequence[int], workers: int) -> None:
        super().__init__(*args)
        self.images = torch.from_numpy(load_images([r.image for r in self.records], size, workers)).to(self.device)

    def _images(self, step: int, indices: Tensor) -> Tensor:
        return self.images[indices.to(self.device)]


class StreamingSource(BatchSource):
    """Images decoded by threads a few batches ahead; memory does not grow with the data set."""

    def __init__(self, *args, size: Sequence[int], workers: int) -> None:
        super().__init__(*args)
        self.size = size
        self._pool = ThreadPoolExecutor(workers)
        self._ahead: dict[int, list[Future[np.ndarray]]] = {}

    def _images(self, step: int, indices: Tensor) -> Tensor:
        for coming in range(step, step + _LOOK_AHEAD + 1):
            if coming not in self._ahead:
                self._ahead[coming] = [
                    self._pool.submit(load_image, self.records[i].image, self.size)
                    for i in self.sampler.indices(coming)
                ]
        # Steps are asked for in order; whatever lies behind (after a jump) is no longer wanted.
        for past in [key for key in self._ahead if key < step]:
            for future in self._ahead.pop(past):
                future.cancel()
        images = [future.result() for future in self._ahead.pop(step)]
        return self._to_device(torch.from_numpy(np.stack(images)))


def label_rows(records: Sequence[ImageRecord], class_ids: Sequence[int]) -> list[int]:
    """The row of the identity head of every image; -1 for a person without one."""
    rows = {person: row for row, person in enumerate(class_ids)}
    return [rows.get(record.person_id, -1) for record in records]


def make_sampler(cfg: CfgNode, records: Sequence[ImageRecord], class_ids: Sequence[int]) -> Sampler:
    """The sampler of `SAMPLER.NAME`. Raises `UserError` where the data set is too small for its batches."""
    batch_size, images = cfg.TRAIN.BATCH_SIZE, cfg.SAMPLER.IMAGES_PER_IDENTITY
    if cfg.SAMPLER.LABELLED_PER_BATCH:
        labels, quota = label_rows(records, class_ids), cfg.SAMPLER.LABELLED_PER_BATCH
        if labels.count(-1) < batch_size - quota:
            raise UserError(
                f"SAMPLER.LABELLED_PER_BATCH: leaves {batch_size - quota} places for unlabelled images, there are "
                f"{labels.count(-1)}; raise it or lower TRAIN.BATCH_SIZE"
            )
        return QuotaSampler(labels, batch_size, quota, cfg.SEED)
    if cfg.SAMPLER.NAME == "epoch":
        if len(records) < batch_size:
            raise UserError(
                f"TRAIN.BATCH_SIZE: a batch of {batch_size} is larger than the training set of {len(records)} images; "
                "lower it"
            )
        return EpochSampler(len(records), batch_size, cfg.SEED)
    labels, persons = label_rows(records, class_ids), batch_size // images
    known = len(set(labels) - {-1})
    if known < persons:
        raise UserError(
            f"TRAIN.BATCH_SIZE: {batch_size} images, {images} of a person, are {persons} persons, more than the "
            f"training set's {known}; lower it or raise SAMPLER.IMAGES_PER_IDENTITY"
        )
    if cfg.SAMPLER.NAME == "identity":
        return IdentitySampler(labels, persons, images, cfg.SEED)
    cameras = [record.camera_id for record in records]
    if len(set(cameras)) == 1:
        raise UserError(
            "SAMPLER.NAME: cross_camera needs at least two cameras, the training set has one; set it to identity"
        )
    return CrossCameraSampler(labels, cameras, persons, images, cfg.SEED)


def make_source(
    cfg: CfgNode, records: Sequence[ImageRecord], class_ids: Sequence[int], num_draws: int, device: str
) -> BatchSource:
    """The training source of a config. Raises `UserError` where the data set is too small for its batches."""
    sampler = make_sampler(cfg, records, class_ids)
    height, width = cfg.DATA.STORED_SIZE
    fits = 3 * height * width * len(records) <= cfg.DATA.RESIDENT_LIMIT_GB * 2**30
    resident = cfg.DATA.SOURCE == "resident" or (cfg.DATA.SOURCE == "auto" and fits)
    kind = ResidentSource if resident else StreamingSource
    return kind(records, class_ids, sampler, num_draws, device, size=(height, width), workers=cfg.DATA.WORKERS)
