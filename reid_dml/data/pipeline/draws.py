"""The random numbers of augmentation, as a pure function of (seed, step)."""

from __future__ import annotations

import numpy as np


def augmentation_draws(seed: int, step: int, batch_size: int, num_draws: int) -> np.ndarray:
    """The random numbers of batch `step`: (batch_size, num_draws) float32, uniform in [0, 1).

    Drawn column by column: a column's numbers do not depend on how many follow it.
    """
    return np.ascontiguousarray(np.random.default_rng([seed, 2, step]).random((num_draws, batch_size), np.float32).T)
