"""CUDA streams of the members of one process: a GPU computes several networks at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


class MemberStreams:
    """A stream for each member: a small network with a small batch fills a fraction of a GPU, several fill more."""

    def __init__(self, streams: Sequence[torch.cuda.Stream] = ()) -> None:
        """`streams`: one for each member of the process; none: one member after the other."""
        self.streams = list(streams)

    @staticmethod
    def of(networks: int, device: str) -> MemberStreams:
        """Streams for so many networks on a GPU; none on a CPU or for one network."""
        side_by_side = device.startswith("cuda") and networks > 1
        return MemberStreams([torch.cuda.Stream(device) for _ in range(networks)] if side_by_side else [])

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Do the work for each item, each on its own stream, which must not depend on another's.

        All streams wait for the current one first, and the current one for all of them at the end. What one stream
        reads of another's must stay referenced until then: memory that is free for its own stream may still be read on
        a second one.
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
