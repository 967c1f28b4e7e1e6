"""Noticing the first loss that is not finite, without asking the device at every step; and weights that are not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reid_dml.mutual.cohort import Member


class NonFiniteGuard:
    """Remembers on the device the first step at which each part of a network's loss was NaN or infinite."""

    def __init__(self, indices: Sequence[int], parts: int, device: str) -> None:
        """Nothing was found so far.

        Args:
            indices: of the networks.
            parts: number of parts of a loss, those that depend on the network alone first: others it can spoil.
            device: where the losses are.
        """
        self.indices = list(indices)
        self.first = torch.full((len(self.indices), parts), -1, dtype=torch.int64, device=device)  # -1: never

    def watch(self, step: int, losses: Tensor) -> None:
        """Take note of one step.

        Args:
            step: its number, from 1.
            losses: (networks, parts) on the device.
        """
        self.first.masked_fill_(~torch.isfinite(losses) & (self.first < 0), step)

    def found(self) -> tuple[int, int, int] | None:
        """(step, part, network) of the first one, of one step the first part; or None. Waits for the device."""
        hits = [
            (step, part, index)
            for index, steps in zip(self.indices, self.first.tolist(), strict=True)
            for part, step in enumerate(steps)
            if step >= 0
        ]
        return min(hits, default=None)


def first_broken(members: Sequence[Member]) -> int | None:
    """Index of the first network with a weight, statistic or average that is not finite, or None."""
    for member in members:
        for network in (member.network, member.ema):
            tensors = [t for t in network.state_dict().values() if t.is_floating_point()] if network is not None else []
            if not all(torch.stack([torch.isfinite(tensor).all() for tensor in tensors]).tolist() if tensors else []):
                return member.index
    return None
