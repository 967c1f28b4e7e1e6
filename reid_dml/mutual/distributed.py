"""Mutual learning over several processes: each holds some of the networks, and only small logits are exchanged.

With more processes than networks, each network has replicas, one a process, that share out every batch and average
their gradients (data parallelism).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from reid_dml.errors import UserError
from reid_dml.models import Output


@dataclass(frozen=True)
class Placement:
    """Which networks this rank trains, and on which shard of every batch."""

    places: tuple[tuple[int, ...], ...]  # networks that are in one process together: contiguous shares of 0 ... K - 1
    shards: int  # replicas of each network, one a process; each trains on its shard of a batch
    rank: int

    @staticmethod
    def of(size: int, world: int, rank: int = 0, *, batch_size: int | None = None) -> Placement:
        """Place networks over processes.

        Args:
            size: networks of the cohort.
            world: processes.
            rank: of this process.
            batch_size: images of a batch, where it is known.

        Raises:
            UserError: neither at most as many processes as networks nor a multiple of their number, or a batch that
                cannot be shared out evenly.
        """
        if world > size and world % size:
            raise UserError(f"{world} processes for {size} networks: start at most {size}, or a multiple of {size}")
        count = min(size, world)
        shares = [size // count + (number < size % count) for number in range(count)]
        starts = [sum(shares[:number]) for number in range(count)]
        places = tuple(tuple(range(start, start + share)) for start, share in zip(starts, shares, strict=True))
        if batch_size is not None and batch_size % (world // count):
            raise UserError(
                f"TRAIN.BATCH_SIZE: {batch_size} images cannot be shared out evenly over {world // count} processes of "
                "each network; make it a multiple"
            )
        return Placement(places, world // count, rank)

    @property
    def networks(self) -> tuple[int, ...]:
        """Networks of this rank."""
        return self.places[self.rank // self.shards]

    @property
    def shard(self) -> int:
        """This rank's shard of every batch, 0 ... shards - 1; shard 0 writes the checkpoints."""
        return self.rank % self.shards

    def exchange_ranks(self, shard: int) -> list[int]:
        """Ranks, one of each place, that see the same shard of a batch: they exchange predictions."""
        return [place * self.shards + shard for place in range(len(self.places))]

    def replica_ranks(self, place: int) -> list[int]:
        """Ranks with replicas of the same networks: they average gradients."""
        return [place * self.shards + shard for shard in range(self.shards)]


class DistributedLinks:
    """Collective communication of a placement: predictions between networks, gradients between replicas.

    Made by all processes together.
    """

    def __init__(self, placement: Placement, *, features: bool = False) -> None:
        self.placement, self.features = placement, features
        self.received_bytes: int | None = 0
        # Every process has to take part in making every group, in the same order.
        exchanges = [dist.new_group(placement.exchange_ranks(shard)) for shard in range(placement.shards)]
        replicas = [dist.new_group(placement.replica_ranks(place)) for place in range(len(placement.places))]
        self.exchange_group: Any = exchanges[placement.shard]
        self.replica_group: Any = replicas[placement.rank // placement.shards]

    def exchange(self, outputs: Mapping[int, Output], size: int) -> list[Output]:
        """Every network's detached prediction on this rank's shard of the batch, in cohort order.

        Logits (N, C) travel as float32, and not probabilities: they carry any temperature, and the tails that a
        float32 probability loses. A process receives (K - K_own) * N * C * 4 bytes, with `features` those of the
        pooled features (N, D) too, which must be of one width. Without it remote networks have features (N, 0).
        """
        received = 0
        sample = next(iter(outputs.values()))
        sources = self.placement.exchange_ranks(self.placement.shard)
        predictions: list[Output] = []
        for source, indices in zip(sources, self.placement.places, strict=True):
            for index in indices:
                own = outputs.get(index)
                # What a process keeps of its own networks is what the others receive.
                logits = self._broadcast(own.logits if own else None, sample.logits, source)
                received += 0 if own else logits.numel() * logits.element_size()
                if self.features:
                    features = self._broadcast(own.features if own else None, sample.features, source)
                    received += 0 if own else features.numel() * features.element_size()
                else:
                    features = own.features.detach() if own else logits.new_empty(len(logits), 0)
                predictions.append(Output(logits, features))
        self.received_bytes = received
        return predictions

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its mean over the replicas of this network."""
        if self.placement.shards == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat, group=self.replica_group)
        flat /= self.placement.shards
        for tensor, values in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(values.view_as(tensor))

    def _broadcast(self, own: Tensor | None, like: Tensor, source: int) -> Tensor:
        """Broadcast a tensor of rank `source` among the ranks that exchange predictions; `own` where it is this one."""
        if own is not None:
            values = own.detach().float().contiguous()
        else:
            values = torch.empty_like(like, dtype=torch.float32, memory_format=torch.contiguous_format)
        dist.broadcast(values, source, group=self.exchange_group)
        return values
