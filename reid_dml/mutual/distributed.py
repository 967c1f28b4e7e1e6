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

from reid_dml.errors import UserError
from reid_dml.models import Output
from reid_dml.mutual.cohort import local_exchange


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


def make_exchange(size: int):
    """The exchange for this number of processes: local in one, an all-gather of float32 logits in several."""
    return local_exchange if world_size() == 1 else LogitsExchange(size)


class LogitsExchange:
    """All-gathers the detached logits (N, C) of every network; the features of remote networks are empty (N, 0).

    Each process receives (K - K_local) * N * C * 4 bytes a step. Logits and not probabilities travel: they carry
    any temperature, and the tails that a float32 probability loses.
    """

    def __init__(self, size: int) -> None:
        self.places = placement(size, world_size())

    def __call__(self, outputs: Mapping[int, Output], size: int) -> list[Output]:
        own = self.places[rank()]
        sample = outputs[own[0]].logits
        predictions: list[Output | None] = [None] * size
        for source, indices in enumerate(self.places):
            for index in indices:
                if source == rank():
                    logits = outputs[index].logits.detach().float().contiguous()
                    dist.broadcast(logits, source)
                    predictions[index] = Output(*(tensor.detach() for tensor in outputs[index]))
                else:
                    logits = torch.empty_like(sample, dtype=torch.float32)
                    dist.broadcast(logits, source)
                    predictions[index] = Output(logits, logits.new_empty(len(logits), 0))
        return [prediction for prediction in predictions if prediction is not None]
