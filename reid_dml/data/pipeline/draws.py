"""The random numbers of augmentation, as a pure function of (seed, step)."""

from __future__ import annotations

import numpy as np


def augmentation_draws(seed: int, step: int, batch_size: int, num_draws: int) -> np.ndarray:
    """The random numbers of a batch, drawn column by column: a column's do not depend on how many follow it.

    Args:
        seed: of the run.
        step: number of the batch over the whole run.
        batch_size, num_draws: images in the batch, and numbers for each.

    Returns:
        (batch_size, num_draws) float32, uniform in [0, 1).
    """
    return np.ascontiguousarray(np.random.default_rng([seed, 2, step]).random((num_draws, batch_size), np.float32).T)
