"""Noticing the first loss that is not finite, without asking the device at every step; and weights that are not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reid_dml.mutual.cohort import Member


class NonFiniteGuard:
    """Remembers on the device the first step at which a network's loss was NaN or infinite."""

    def __init__(self, indices: Sequence[int], device: str) -> None:
        self.indices = list(indices)
        # First bad step of the identity loss, which depends on the network alone, and of the whole loss, which a peer
        # can spoil: (2, members), -1 where there was none.
        self.first = torch.full((2, len(self.indices)), -1, dtype=torch.int64, device=device)

    def watch(self, step: int, identity_losses: Tensor, losses: Tensor) -> None:
        """Take note of one step.

        Args:
            step: its number, from 1.
            identity_losses, losses: (members,) on the device.
        """
        bad = ~torch.isfinite(torch.stack([identity_losses, losses])) & (self.first < 0)
        self.first.masked_fill_(bad, step)

    def found(self) -> tuple[int, int, int] | None:
        """(step, 0 if by itself or 1 if perhaps by a peer, network) of the first one, or None. Waits for the device."""
        hits = [
            (step, kind, index)
            for kind, steps in enumerate(self.first.tolist())
            for step, index in zip(steps, self.indices, strict=True)
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
