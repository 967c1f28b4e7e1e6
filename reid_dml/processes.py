"""One process or several: who this one is, and small messages between them. Started with `torchrun`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from reid_dml.errors import UserError

Result = TypeVar("Result")


@contextmanager
def processes(device: str) -> Iterator[None]:
    """Join the other processes that `torchrun` started, if it did, and leave them at the end.

    They talk through gloo on CPUs and NCCL on GPUs. Raises `UserError` if processes would have to share a GPU.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    on_gpu, local = device.startswith("cuda"), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if on_gpu and local > torch.cuda.device_count():
        raise UserError(
            f"{local} processes on this machine, which has {torch.cuda.device_count()} GPUs: start at most one per "
            "GPU, or set DEVICE cpu"
        )
    # Long enough for process 0 to decode a large data set while the others wait. A process that ends is noticed anyway.
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=timedelta(days=2))
    yield
    # Not after an error: the others may be waiting inside a collective call for this process.
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


def first_then_others(work: Callable[[], Result]) -> Result:
    """Do the same work on every process, on process 0 before the others: it may write what they then find.

    A `UserError` of process 0 is raised on all of them, so that nobody waits for a process that has left.
    """
    result, error = None, None
    if rank() == 0:
        try:
            result = work()
        except UserError as refusal:
            error = str(refusal)
    error = all_gather_objects(error)[0]
    if error is not None:
        raise UserError(error)
    return work() if rank() > 0 else result  # type: ignore[return-value]  # process 0 has done it
