"""Ctrl-C, SIGTERM and a closed terminal end a training run behind a finished step, with a checkpoint."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from reid_dml.ending import ending_signals


@dataclass
class StopRequest:
    """Whether somebody asked this process to stop."""

    made: bool = False


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Note a signal instead of acting on it. A second Ctrl-C ends the process at once; torchrun repeats SIGTERM."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
        yield request
        return
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in ending_signals()}

    def note(number: int, frame: FrameType | None) -> None:
        request.made = True
        if signal.SIGINT in before:
            signal.signal(signal.SIGINT, before[signal.SIGINT])

    for number in before:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
