"""Images at one stored size, by position: what batches, evaluation and extraction read, wherever the pixels are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from reid_dml.data.images import PIXEL_LIMIT, read_image, to_stored
from reid_dml.data.records import ImageRecord

_PIECE = 256  # images one thread reads in one go when all are read


class StoredImages(ABC):
    """The images of some records in their order; any of them can be read at any time, by several threads."""

    def __init__(self, records: Sequence[ImageRecord], size: Sequence[int]) -> None:
        self.records, self.size = records, (size[0], size[1])

    def __len__(self) -> int:
        return len(self.records)

    @abstractmethod
    def read(self, rows: Sequence[int] | np.ndarray, out: np.ndarray) -> None:
        """Fill `out` (n, 3, height, width) uint8, contiguous, with the images at these n positions.

        Raises `UserError` for an image that cannot be read.
        """

    def at(self, rows: Sequence[int] | np.ndarray) -> StoredImages:
        """Some of the images, in this order."""
        return _Selection(self, rows)


class ImageFiles(StoredImages):
    """Decoded and resized at every reading.

    Args:
        records: the images.
        size: height, width.
        pixel_limit: largest width x height of a file; larger ones are refused.
    """

    def __init__(self, records: Sequence[ImageRecord], size: Sequence[int], pixel_limit: int = PIXEL_LIMIT) -> None:
        super().__init__(records, size)
        self.pixel_limit = pixel_limit

    def read(self, rows: Sequence[int] | np.ndarray, out: np.ndarray) -> None:
        for place, row in enumerate(rows):
            out[place] = to_stored(read_image(self.records[row].path, self.pixel_limit), self.size)


class ImageArrays(StoredImages):
    """Pixels that a data set holds in memory, resized at every reading."""

    def read(self, rows: Sequence[int] | np.ndarray, out: np.ndarray) -> None:
        for place, row in enumerate(rows):
            pixels = self.records[row].pixels
            assert pixels is not None
            out[place] = to_stored(pixels, self.size)


class _Selection(StoredImages):
    def __init__(self, images: StoredImages, rows: Sequence[int] | np.ndarray) -> None:
        super().__init__([images.records[row] for row in rows], images.size)
        self.images, self.rows = images, np.asarray(rows)

    def read(self, rows: Sequence[int] | np.ndarray, out: np.ndarray) -> None:
        self.images.read(self.rows[rows], out)


def read_all(images: StoredImages, workers: int = 2) -> np.ndarray:
    """All images in order, read by `workers` threads: (N, 3, height, width) uint8."""
    whole = np.empty((len(images), 3, *images.size), np.uint8)

    def read(start: int) -> None:
        part = whole[start : start + _PIECE]
        images.read(np.arange(start, start + len(part)), part)

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(read, range(0, len(images), _PIECE)):
            pass
    return whole


class ReadAhead:
    """Batches of stored images, read by threads in advance; memory does not grow with their number."""

    def __init__(
        self,
        images: StoredImages,
        rows: Callable[[int], Sequence[int] | np.ndarray],
        workers: int,
        *,
        ahead: int,
        pinned: bool = False,
    ) -> None:
        """Start the threads; reading begins with the first batch asked for.

        Args:
            images: where batches come from.
            rows: gives the positions of batch n, an empty list behind the last batch.
            workers: threads that read.
            ahead: batches that are prepared in advance.
            pinned: put them into memory from which a GPU can fetch them by itself.
        """
        self.images, self.rows, self.workers, self.ahead, self.pinned = images, rows, workers, ahead, pinned
        self._pool = ThreadPoolExecutor(workers)
        self._started: dict[int, tuple[Tensor, list[Future[None]]]] = {}

    def batch(self, number: int) -> Tensor:
        """Batch `number`, (n, 3, height, width) uint8 on the CPU, and a start on the next ones.

        Raises `UserError` for an image that cannot be read.
        """
        # Batches are asked for in order; whatever lies behind (after a jump) is no longer wanted.
        for past in [key for key in self._started if key < number]:
            for future in self._started.pop(past)[1]:
                future.cancel()
        for coming in range(number, number + self.ahead + 1):
            if coming not in self._started:
                self._started[coming] = self._start(self.rows(coming))
        images, pieces = self._started.pop(number)
        for piece in pieces:
            piece.result()
        return images

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, rows: Sequence[int] | np.ndarray) -> tuple[Tensor, list[Future[None]]]:
        images = torch.empty((len(rows), 3, *self.images.size), dtype=torch.uint8, pin_memory=self.pinned)
        out, piece = images.numpy(), -(-len(rows) // self.workers)
        return images, [
            self._pool.submit(self.images.read, rows[start : start + piece], out[start : start + piece])
            for start in range(0, len(rows), piece or 1)
        ]
