"""What torchrun tells the processes that it starts, in variables of the environment."""

from __future__ import annotations

import os

from reid_dml.text import small_number

_TOGETHER = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what PyTorch needs to find the other processes


def torchrun_world_size() -> int:
    """Number of processes of this command; 1 without torchrun."""
    return _number("WORLD_SIZE", 1)


def torchrun_local_world_size() -> int:
    """Number of those on this machine."""
    return _number("LOCAL_WORLD_SIZE", 1)


def torchrun_rank() -> int:
    """Number of this process among all, counted from 0."""
    return _number("RANK", 0)


def torchrun_local_rank() -> int:
    """Number of this process among those on this machine, counted from 0."""
    return _number("LOCAL_RANK", 0)


def _number(variable: str, otherwise: int) -> int:
    # What is no number, or stands alone, was not set by torchrun: other programs use these names, too.
    number = small_number(os.environ.get(variable, ""))
    return otherwise if number is None or not all(map(os.environ.get, _TOGETHER)) else number
