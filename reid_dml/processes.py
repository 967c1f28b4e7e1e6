"""One process or several: who this one is, and small messages between them. Started with `torchrun`."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from reid_dml.errors import UserError
from reid_dml.heartbeat import Heartbeat
from reid_dml.launched import torchrun_local_world_size, torchrun_world_size

Result = TypeVar("Result")
_heartbeat: Heartbeat | None = None


@contextmanager
def processes(device: str) -> Iterator[None]:
    """Join the other processes that `torchrun` started, if it did, and leave them at the end.

    They talk through gloo on CPUs and NCCL on GPUs. A message takes at most REID_DML_TIMEOUT seconds (600); before
    small messages and barriers everybody waits as long as the others live, see `reid_dml.heartbeat`.

    Args:
        device: `cpu`, or `cuda:N` of this process.

    Raises:
        UserError: processes would have to share a GPU, or REID_DML_TIMEOUT is no number of seconds.
    """
    global _heartbeat
    if torchrun_world_size() == 1:
        yield
        return
    _end_with_torchrun()
    on_gpu, local = device.startswith("cuda"), torchrun_local_world_size()
    if on_gpu and local > torch.cuda.device_count():
        raise UserError(
            f"{local} processes on this machine, which has {torch.cuda.device_count()} GPUs: start at most one per "
            "GPU, or set DEVICE cpu"
        )
    limit = _limit()
    timeout = timedelta(seconds=limit)
    store, own, size = next(dist.rendezvous("env://", timeout=timeout))
    _heartbeat = Heartbeat(dist.PrefixStore("heartbeat", store), own, size, limit)
    try:
        dist.init_process_group("nccl" if on_gpu else "gloo", store=store, rank=own, world_size=size, timeout=timeout)
        yield
    except BaseException:
        # No more than this: the others may be waiting inside a collective call for this process.
        _heartbeat.leave()
        _heartbeat = None
        raise
    _heartbeat.stop()
    _heartbeat = None
    dist.destroy_process_group()


def _end_with_torchrun() -> None:
    """Let the system end this process when torchrun is killed, which then ends nobody: Linux only.

    By SIGKILL: without torchrun's store the processes cannot agree on a last checkpoint.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of sys/prctl.h
        parent = os.getppid()
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent or parent == 1:
            raise UserError("torchrun, which started this process, has ended")


def _limit() -> float:
    given = os.environ.get("REID_DML_TIMEOUT", "600")
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise UserError(f"REID_DML_TIMEOUT: {given!r} is no number of seconds above 0")
    return seconds


def _meet() -> None:
    if _heartbeat is not None:
        _heartbeat.meet()


def rank() -> int:
    """Number of this process; 0 is the one that writes and prints."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def barrier() -> None:
    """Wait until every process is here, for as long as it lives."""
    _meet()
    if dist.is_initialized():
        dist.barrier()


def gather_objects(value: Any) -> list[Any]:
    """The value of every process, in order, on process 0; elsewhere an empty list. For small objects and arrays."""
    if not dist.is_initialized():
        return [value]
    _meet()
    gathered: list[Any] = [None] * world_size() if rank() == 0 else []
    dist.gather_object(value, gathered if rank() == 0 else None)
    return gathered


def all_gather_objects(value: Any) -> list[Any]:
    """The value of every process, in order, on all of them."""
    if not dist.is_initialized():
        return [value]
    _meet()
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
            error = refusal
    error = all_gather_objects(error)[0]
    if error is not None:
        raise error
    return work() if rank() > 0 else result  # type: ignore[return-value]  # process 0 has done it
