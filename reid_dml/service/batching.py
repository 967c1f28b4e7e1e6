"""Images of concurrent requests through the networks together: one thread computes, a queue of limited length waits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np

from reid_dml.errors import UserError
from reid_dml.service.limits import Refusal


class Embedder:
    """From images to features for any number of threads at a time.

    What arrives while a batch is computed becomes the next batch: a single request never waits for others to come.

    Args:
        extract: from images (H, W, 3) uint8 RGB to features (N, D) float32; called by one thread.
        batch: most images of a forward pass.
        waiting: most images that wait or are being computed.

    Attributes:
        images, batches: computed so far.
    """

    def __init__(
        self,
        extract: Callable[[Sequence[np.ndarray]], np.ndarray],
        *,
        batch: int = 16,
        waiting: int = 64,
    ) -> None:
        self._extract, self._batch, self._limit = extract, batch, waiting
        self.images = self.batches = 0
        self._changed = threading.Condition()
        self._waiting: deque[tuple[np.ndarray, Future[np.ndarray]]] = deque()
        self._computing, self._open = 0, True
        self._thread = threading.Thread(target=self._work, name="networks", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Images that wait or are being computed."""
        return len(self._waiting) + self._computing

    @property
    def alive(self) -> bool:
        """Whether images are still computed."""
        return self._open and self._thread.is_alive()

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Features of images, (N, D) float32, once they are computed.

        Raises:
            Refusal: too many images wait already (429). UserError: what `extract` raises for one of them.
        """
        with self._changed:
            if not self._open:
                raise Refusal(503, "the service is being stopped")
            if len(self) + len(images) > self._limit:
                raise Refusal(429, f"{len(self)} images wait for the networks; try again in a second")
            futures: list[Future[np.ndarray]] = [Future() for _ in images]
            self._waiting.extend(zip(images, futures, strict=True))
            self._changed.notify()
        return np.stack([future.result() for future in futures])

    def close(self) -> None:
        """Compute what waits, and take nothing more."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or not self._open)
                if not self._waiting:
                    return
                taken = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
                self._computing = len(taken)
            self._compute(taken)
            with self._changed:
                self._computing = 0

    def _compute(self, taken: Sequence[tuple[np.ndarray, Future[np.ndarray]]]) -> None:
        try:
            features = self._extract([image for image, _ in taken])
        except Exception as error:
            if len(taken) > 1 and isinstance(error, UserError):  # one image must not fail those of other requests
                for one in taken:
                    self._compute([one])
                return
            for _, future in taken:
                future.set_exception(error)
            return
        self.images, self.batches = self.images + len(taken), self.batches + 1
        for (_, future), feature in zip(taken, features, strict=True):
            future.set_result(feature)
