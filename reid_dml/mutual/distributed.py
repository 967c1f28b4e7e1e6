"""Mutual learning over several processes: each owns some of the networks, only small logits travel.

Started with `torchrun`, gloo on CPUs and NCCL on GPUs. Every process sees the same batches.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from reid_dml.errors import UserError
from reid_dml.models import Output
from reid_dml.mutual.cohort import Exchange, local_exchange


@contextmanager
def processes(device: str) -> Iterator[None]:
    """Join the other processes that `torchrun` started, if it did, and leave them at the end."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=timedelta(minutes=30))
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process; 0 is the one that writes and prints."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def barrier() -> None:
    """Wait until every process is here."""
    if dist.is_initialized():
        dist.barrier()


def placement(size: int, world: int) -> list[list[int]]:
    """Networks of each process: contiguous shares of 0 ... size - 1, the first ones larger by one at most.

    Raises `UserError` if there are more processes than networks.
    """
    if world > size:
        raise UserError(
            f"{world} processes for {size} networks: start at most {size} (torchrun --nproc-per-node {size})"
        )
    shares = [size // world + (number < size % world) for number in range(world)]
    starts = [sum(shares[:number]) for number in range(world)]
    return [list(range(start, start + share)) for start, share in zip(starts, shares, strict=True)]


def gather_objects(value: Any) -> list[Any]:
    """The value of every process, in order, on process 0; elsewhere an empty list. For small objects and arrays."""
    if not dist.is_initialized():
        return [value]
    gathered: list[Any] = [None] * world_size() if rank() == 0 else []
    dist.gather_object(value, gathered if rank() == 0 else None)
    return gathered


def all_gather_objects(value: Any) -> list[Any]:
    """The value of every process, in order, on all of them."""
    if not dist.is_initialized():
        return [value]
    gathered: list[Any] = [None] * world_size()
    dist.all_gather_object(gathered, value)
    return gathered


def make_exchange(size: int, *, features: bool = False) -> Exchange:
    """The exchange for this number of processes: local in one; in several logits travel, and features if asked."""
    return local_exchange if world_size() == 1 else DistributedExchange(size, features=features)


class DistributedExchange:
    """Every process sends its networks' detached logits (N, C), as float32, to all others.

    Logits and not probabilities travel: they carry any temperature, and the tails that a float32 probability loses. A
    process receives (K - K_local) * N * C * 4 bytes a step (`received_bytes` counts them), with `features` those of
    the pooled features (N, D) too, which must be of one width. Without it the features of remote networks are (N, 0).
    """

    def __init__(self, size: int, *, features: bool = False) -> None:
        self.places, self.features = placement(size, world_size()), features
        self.received_bytes = 0

    def __call__(self, outputs: Mapping[int, Output], size: int) -> list[Output]:
        sample = next(iter(outputs.values()))
        predictions: list[Output] = []
        for source, indices in enumerate(self.places):
            for index in indices:
                own = outputs.get(index)
                logits = self._share(own.logits if own else None, sample.logits, source)
                remote = sample.features.new_empty(len(logits), 0)
                features = (
                    self._share(own.features if own else None, sample.features, source) if self.features else remote
                )
                # What a process keeps of its own networks is what the others receive.
                predictions.append(Output(logits, own.features.detach() if own and not self.features else features))
        return predictions

    def _share(self, own: Tensor | None, like: Tensor, source: int) -> Tensor:
        """The tensor of process `source`, on every process; `own` where it is this one."""
        if own is not None:
            values = own.detach().float().contiguous()
        else:
            values = torch.empty_like(like, dtype=torch.float32, memory_format=torch.contiguous_format)
            self.received_bytes += values.numel() * values.element_size()
        dist.broadcast(values, source)
        return values
