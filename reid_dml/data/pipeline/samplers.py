"""Which images a batch holds: pure functions of (seed, step)."""

from __future__ import annotations

import numpy as np


class EpochSampler:
    """Every image once an epoch, in an order drawn anew for each; the last incomplete batch is dropped."""

    def __init__(self, num_images: int, batch_size: int, seed: int) -> None:
        if batch_size > num_images:
            raise ValueError(f"a batch of {batch_size} is larger than the {num_images} images")
        self.num_images, self.batch_size, self.seed = num_images, batch_size, seed
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.num_images // self.batch_size

    def indices(self, step: int) -> np.ndarray:
        """Positions of the images of batch `step` (counted from 0 over the whole run): (batch_size,) int64."""
        epoch, batch = divmod(step, len(self))
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.seed, 1, epoch]).permutation(self.num_images)
            self._epoch = epoch
        return self._order[batch * self.batch_size : (batch + 1) * self.batch_size]


def augmentation_draws(seed: int, step: int, batch_size: int, num_draws: int) -> np.ndarray:
    """The random numbers of batch `step`: (batch_size, num_draws) float32, uniform in [0, 1).

    Drawn column by column: a column's numbers do not depend on how many follow it.
    """
    return np.ascontiguousarray(np.random.default_rng([seed, 2, step]).random((num_draws, batch_size), np.float32).T)
