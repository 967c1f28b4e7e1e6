"""Waiting for other processes as long as they live: one of them may decode a data set for hours while the others wait.

Every process has a thread that counts up a number in the store through which the processes found each other. A process
that waits watches the others' numbers: one that stands still belongs to a process that was stopped, or whose machine is
lost.
"""

from __future__ import annotations

import math
import threading
from contextlib import suppress
from datetime import timedelta

import torch.distributed as dist

from reid_dml.errors import UserError

_LOOKS = 20  # at numbers that stand still, until their process is given up


class Heartbeat:
    """This process's sign of life, and a barrier that waits for whoever shows one."""

    def __init__(self, store: dist.Store, rank: int, size: int, limit: float) -> None:
        """Start the thread.

        Args:
            store: shared by all processes; it must outlive any of them, as that of torchrun does.
            rank: number of this process.
            size: number of processes.
            limit: seconds without a sign of life after which a process is given up.
        """
        self.rank, self.size, self.limit = rank, size, limit
        self._store, self._meetings = store, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, args=(store.clone(),), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def leave(self) -> None:
        """Tell the others, who wait for this process or will, that it ends on an error."""
        self.stop()
        with suppress(RuntimeError):  # no store: they have left
            self._store.set(f"met/{self._meetings + 1}", "without one")

    def meet(self) -> None:
        """A barrier that waits for the other processes as long as they show signs of life.

        Raises `UserError` if one of them has ended, or shows no sign of life for as long as the limit.
        """
        self._meetings += 1
        counter, everybody = f"come/{self._meetings}", f"met/{self._meetings}"
        try:
            if self._store.add(counter, 1) == self.size:
                self._store.set(everybody, "")
                for old in (f"come/{self._meetings - 1}", f"met/{self._meetings - 1}"):
                    self._store.delete_key(old)  # everybody has left it
            seen, looks = dict.fromkeys(range(self.size), math.nan), dict.fromkeys(range(self.size), 0)
            while not self._has(everybody):
                for other in seen:
                    beats = self._store.add(f"beats/{other}", 0)
                    looks[other] = looks[other] + 1 if beats == seen[other] else 0
                    seen[other] = beats
                # Looks, not seconds: no process is dead because this one was stopped for a while.
                if silent := [other for other, count in looks.items() if count >= _LOOKS]:
                    raise UserError(self._lost(silent))
            if self._store.get(everybody):
                raise UserError("another process of this command has ended; what it said tells why")
        except (dist.DistStoreError, dist.DistNetworkError) as error:
            raise UserError(f"the store of the processes does not answer any more: {error}") from error

    def _has(self, key: str) -> bool:
        """Whether the key is there, or comes before it is time to look at the numbers."""
        try:
            self._store.wait([key], timedelta(seconds=self.limit / _LOOKS))
        except dist.DistStoreError:
            return False
        return True

    def _lost(self, silent: list[int]) -> str:
        who = "process" if len(silent) == 1 else "processes"
        return (
            f"{who} {', '.join(map(str, silent))} of {self.size} (counted from 0): no sign of life for "
            f"{self.limit:,.0f} s, stopped or lost; start the command again, a training where it stopped"
        )

    def _beat(self, store: dist.Store) -> None:
        try:
            while True:
                store.add(f"beats/{self.rank}", 1)
                if self._ended.wait(self.limit / _LOOKS / 2):  # at least one beat between two looks
                    return
        except RuntimeError:
            return  # the store is gone: nobody is there to hear it
