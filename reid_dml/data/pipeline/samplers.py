"""Which images a batch holds: pure functions of (seed, step)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np


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
        """Positions of the images of one epoch in order: at least (len(self) * batch_size,) int64."""

    def indices(self, step: int) -> np.ndarray:
        """Positions of the images of batch `step` (counted from 0 over the whole run): (batch_size,) int64."""
        epoch, batch = divmod(step, len(self))
        if epoch not in self._orders:
            self._orders = {near: order for near, order in self._orders.items() if abs(near - epoch) < 5}
            self._orders[epoch] = self.draw_epoch(np.random.default_rng([self.seed, 1, epoch]))
        return self._orders[epoch][batch * self.batch_size : (batch + 1) * self.batch_size]


class EpochSampler(Sampler):
    """Every image once an epoch, in an order drawn anew for each; the last incomplete batch is dropped."""

    def __init__(self, num_images: int, batch_size: int, seed: int) -> None:
        super().__init__(batch_size, seed)
        if batch_size > num_images:
            raise ValueError(f"a batch of {batch_size} is larger than the {num_images} images")
        self.num_images = num_images

    def __len__(self) -> int:
        return self.num_images // self.batch_size

    def draw_epoch(self, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(self.num_images)


class QuotaSampler(Sampler):
    """A fixed number of labelled images in every batch, in front of the unlabelled ones.

    An epoch goes once over the unlabelled images, less the last incomplete batch; the labelled ones are gone through
    again and again, each time in an order drawn anew.
    """

    def __init__(self, labels: Sequence[int] | np.ndarray, batch_size: int, labelled: int, seed: int) -> None:
        """`labels` (N,), -1 = unlabelled; `labelled` images of a batch are others."""
        super().__init__(batch_size, seed)
        labels = np.asarray(labels)
        self.labelled, self.unlabelled = np.flatnonzero(labels >= 0), np.flatnonzero(labels < 0)
        self.quota = labelled
        if len(self.unlabelled) < batch_size - labelled:
            raise ValueError(f"{batch_size - labelled} unlabelled images a batch are more than {len(self.unlabelled)}")

    def __len__(self) -> int:
        return len(self.unlabelled) // (self.batch_size - self.quota)

    def draw_epoch(self, rng: np.random.Generator) -> np.ndarray:
        others = rng.permutation(self.unlabelled)[: len(self) * (self.batch_size - self.quota)]
        rounds = -(-len(self) * self.quota // len(self.labelled))
        known = np.concatenate([rng.permutation(self.labelled) for _ in range(rounds)])[: len(self) * self.quota]
        return np.concatenate([known.reshape(len(self), -1), others.reshape(len(self), -1)], axis=1).ravel()


class IdentitySampler(Sampler):
    """P persons with K images each, side by side (Hermans et al., "In Defense of the Triplet Loss", 2017).

    An epoch goes once over the persons in an order drawn anew; the last persons, too few for a batch, are dropped. The
    K images of a person are drawn without repetition; a person with fewer has each of them as often as any other, or
    once more. Images labelled -1 are in no batch.
    """

    def __init__(self, labels: Sequence[int] | np.ndarray, persons: int, images: int, seed: int) -> None:
        """`labels` (N,) of the images, `persons` P and `images` K of a batch."""
        super().__init__(persons * images, seed)
        labels = np.asarray(labels)
        self.persons = [np.flatnonzero(labels == label) for label in np.unique(labels[labels >= 0])]
        self.persons_per_batch, self.images_per_person = persons, images
        if persons > len(self.persons):
            raise ValueError(f"a batch of {persons} persons is larger than the {len(self.persons)} there are")

    def __len__(self) -> int:
        return len(self.persons) // self.persons_per_batch

    def draw_epoch(self, rng: np.random.Generator) -> np.ndarray:
        order = rng.permutation(len(self.persons))[: len(self) * self.persons_per_batch]
        # np.resize starts over where an order is shorter than K.
        return np.concatenate(
            [np.resize(self.draw_person(self.persons[person], rng), self.images_per_person) for person in order]
        )

    def draw_person(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The images of one person in the order in which they are taken."""
        return rng.permutation(rows)


class CrossCameraSampler(IdentitySampler):
    """P x K like `IdentitySampler`, the K images of a person from as many different cameras as it has.

    The cameras take turns in a random order: nobody's second image of a camera comes before the first of another.
    """

    def __init__(
        self,
        labels: Sequence[int] | np.ndarray,
        cameras: Sequence[int] | np.ndarray,
        persons: int,
        images: int,
        seed: int,
    ) -> None:
        super().__init__(labels, persons, images, seed)
        self.cameras = np.asarray(cameras)

    def draw_person(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        rows = rng.permutation(rows)
        names, camera = np.unique(self.cameras[rows], return_inverse=True)
        earlier = np.tril(camera[:, None] == camera, -1).sum(1)  # images of the same camera before this one
        turn = rng.permutation(len(names))[camera]
        return rows[np.lexsort((turn, earlier))]


def augmentation_draws(seed: int, step: int, batch_size: int, num_draws: int) -> np.ndarray:
    """The random numbers of batch `step`: (batch_size, num_draws) float32, uniform in [0, 1).

    Drawn column by column: a column's numbers do not depend on how many follow it.
    """
    return np.ascontiguousarray(np.random.default_rng([seed, 2, step]).random((num_draws, batch_size), np.float32).T)
