"""Where the networks of one process compute: one after the other, or side by side on streams of a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class MemberStreams:
    """A small network with a small batch fills a fraction of a GPU; several at once fill more of it."""

    def __init__(self, streams: Sequence[torch.cuda.Stream] = ()) -> None:
        """A stream for each network of the process; none: one network after the other."""
        self.streams = list(streams)

    @staticmethod
    def of(networks: int, device: str) -> MemberStreams:
        """MemberStreams for so many networks: streams on a GPU, if there is more than one network."""
        side_by_side = device.startswith("cuda") and networks > 1
        return MemberStreams([torch.cuda.Stream(device) for _ in range(networks)] if side_by_side else [])

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """The work for each item, which must not depend on another's; everything before and after waits for all.

        What one lane reads of another's must stay referenced until the end: memory that is free for its own lane may
        still be read on a second one.
        """
        if not self.streams:
            return [work(item) for item in items]
        current, results = torch.cuda.current_stream(), []
        for stream, item in zip(self.streams, items, strict=True):
            stream.wait_stream(current)
            with torch.cuda.stream(stream):
                results.append(work(item))
        for stream in self.streams:
            current.wait_stream(stream)
        return results
