"""Which device a command runs on, and what a run record says of it."""

from __future__ import annotations

import ctypes
import platform
import re
from pathlib import Path

import torch

from reid_dml.errors import UserError
from reid_dml.launched import torchrun_local_rank, torchrun_local_world_size
from reid_dml.threads import cpu_threads


def keep_freed_memory() -> None:
    """Tell malloc to keep the memory of freed tensors instead of returning it to the system.

    With two networks' graphs alive at once, a step of training otherwise spends a quarter of its time on pages that the
    system hands out anew (`benchmarks/cohort.py`). glibc only; other libraries have rules of their own.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, 1 << 30)
        # Older versions refuse more than 32 MB, and would go on with 128 KB.
        libc.mallopt(mmap_threshold, 1 << 30) or libc.mallopt(mmap_threshold, 32 << 20)


def prepare_training() -> None:
    """Settings of this process that make training fast; before the first tensor operation."""
    # Adam's first moments of parameters without a gradient halve at every step (beta 0.5) and become denormal after
    # some 130 steps: CPUs then compute at less than half the speed. Threads inherit the setting when they start.
    torch.set_flush_denormal(True)
    keep_freed_memory()
    torch.backends.cudnn.benchmark = True  # shapes never change: worth trying all convolution kernels once


def resolve_device(name: str) -> str:
    """`cpu` or `cuda:N` from `DEVICE`; `auto` takes a GPU where there is one.

    Raises `UserError` for a GPU that is not there.
    """
    local_rank = torchrun_local_rank()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    if not re.fullmatch(r"cuda(:\d{1,4})?", name):
        raise UserError(f"DEVICE: {name!r} is not one of auto, cpu, cuda, cuda:N")
    if not torch.cuda.is_available():
        raise UserError(f"DEVICE: {name} was asked for, but torch sees no GPU; set DEVICE cpu or auto")
    if ":" in name and torchrun_local_world_size() > 1:
        raise UserError(f"DEVICE: {name} names one GPU for several processes; set DEVICE cuda, and each takes its own")
    number = int(name.split(":")[1]) if ":" in name else local_rank % torch.cuda.device_count()
    if number >= torch.cuda.device_count():
        raise UserError(f"DEVICE: {name} was asked for, but there are {torch.cuda.device_count()} GPUs, counted from 0")
    torch.cuda.set_device(number)
    return f"cuda:{number}"


def to_device(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """A tensor of the CPU on a device; a GPU fetches it by itself, without making this process wait."""
    if device.startswith("cuda"):
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor


def describe_device(device: str) -> str:
    """The device in words: the GPU's name, or the processor's with the threads in use."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    threads = cpu_threads()
    return f"{name}, {threads} thread{'s' if threads > 1 else ''}"
