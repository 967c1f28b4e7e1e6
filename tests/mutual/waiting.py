"""One of several processes that wait for each other, as `run_command` runs them.

Run by test_waiting.py: python -m tests.mutual.waiting HOW FILE, which process 1 makes when it is about to be stopped.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist

from reid_dml.ending import run_command
from reid_dml.processes import all_gather_objects, barrier, first_then_others, processes, rank


def main() -> None:
    how, file = sys.argv[1], Path(sys.argv[2])
    with processes("cpu"):
        barrier()
        if how == "slow":  # much longer than the timeout
            print(first_then_others(lambda: time.sleep(12 * (1 - rank())) or f"worked in {rank()}"), flush=True)
            print(all_gather_objects(rank()), flush=True)
        elif how == "working":
            first_then_others(lambda: (file.touch(), time.sleep(60 * (1 - rank()))))
        elif how == "waiting":
            if rank() == 1:
                file.touch()
                time.sleep(60)
            barrier()
        else:
            if rank() == 1:
                file.touch()
                time.sleep(2)
            while True:
                dist.all_reduce(torch.ones(1))


if __name__ == "__main__":
    run_command(main)
