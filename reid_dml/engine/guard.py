"""Noticing the first loss that is not finite, without asking the device at every step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class NonFiniteGuard:
    """Remembers on the device the first step at which a network's loss was NaN or infinite."""

    def __init__(self, indices: Sequence[int], device: str) -> None:
        self.indices = list(indices)
        self.first = torch.full((len(self.indices),), -1, dtype=torch.int64, device=device)

    def watch(self, step: int, losses: Tensor) -> None:
        """Take note of one step's losses, (members,)."""
        bad = ~torch.isfinite(losses) & (self.first < 0)
        self.first.masked_fill_(bad, step)

    def found(self) -> tuple[int, int] | None:
        """(step, network) of the first non-finite loss, or None. Waits for the device."""
        hits = [(step, index) for step, index in zip(self.first.tolist(), self.indices, strict=True) if step >= 0]
        return min(hits, default=None)
