"""Samplers, one file each: which images a batch holds, as pure functions of (seed, step).

To add one: a file here with a class like those beside it, decorated with `register_sampler` (docs/extending.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from reid_dml.options import Component, from_section, option
from reid_dml.registry import Registry


class Sampler(ABC):
    """An epoch's order is drawn at once, from a generator of its own: any batch can be asked for at any time."""

    def __init__(self, batch_size: int, seed: int) -> None:
        self.batch_size, self.seed = batch_size, seed
        self._orders: dict[int, np.ndarray] = {}  # of the epochs asked for last: reading ahead begins the next one

    @abstractmethod
    def __len__(self) -> int:
        """Batches in an epoch."""

    @abstractmethod
    def draw_epoch(self, rng: np.random.Generator) -> np.ndarray:
        """Positions of the images of one epoch in order: at least (len(self) * batch_size,) int64, or it is refused."""

    def indices(self, step: int) -> np.ndarray:
        """Positions of the images of batch `step` (counted from 0 over the whole run): (batch_size,) int64."""
        epoch, batch = divmod(step, len(self))
        if epoch not in self._orders:
            self._orders = {near: order for near, order in self._orders.items() if abs(near - epoch) < 5}
            self._orders[epoch] = self.draw_epoch(np.random.default_rng([self.seed, 1, epoch]))
        return self._orders[epoch][batch * self.batch_size : (batch + 1) * self.batch_size]


class SamplerKind(Component, ABC):
    """The contract of every way of sampling, whose options stand below `SAMPLER`."""

    gives_pairs: ClassVar[bool] = False  # whether a batch holds several images of a person

    @abstractmethod
    def build(self, labels: np.ndarray, cameras: np.ndarray, batch_size: int, seed: int) -> Sampler:
        """The sampler of a training set.

        Args:
            labels: (N,) int64 row of the identity head of every image, -1 = unlabelled.
            cameras: (N,) int64 camera id of every image.
            batch_size: images in a batch.
            seed: of the run.

        Raises:
            UserError: a training set that is too small for its batches.
        """

    def images_per_person(self) -> int:
        """Images of a person side by side in a batch, which a part of it must not divide; 1 where it may."""
        return 1


SAMPLERS: Registry[type[SamplerKind]] = Registry("SAMPLER.NAME", __name__, SamplerKind)
register_sampler = SAMPLERS.register


@dataclass(frozen=True)
class SamplerOptions:
    """What is asked of every way of sampling."""

    name: str = option(
        "epoch",
        "epoch (every image once) | identity (P persons x K images) | cross_camera (of K cameras)",
        choices=SAMPLERS.names,
    )


def sampler_kind(section: Mapping[str, Any]) -> SamplerKind:
    """The way of sampling that the options of `SAMPLER` choose."""
    return from_section(SAMPLERS.get(section["NAME"]), section)
