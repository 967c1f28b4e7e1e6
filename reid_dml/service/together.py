"""Work of concurrent requests done together: one thread computes, a queue of limited length waits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from reid_dml.errors import UserError
from reid_dml.service.limits import Refusal

Item = TypeVar("Item")
Result = TypeVar("Result")


class Together(Generic[Item, Result]):
    """A function of several items, called by one thread with those of any number of threads.

    What arrives while a batch is computed becomes the next batch: a single request never waits for others to come.

    Args:
        work: from items to as many results, in their order.
        what: does the work, for messages.
        batch: most items at a time.
        waiting: most items that wait or are being computed.

    Attributes:
        items, batches: computed so far.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result]],
        what: str,
        *,
        batch: int = 16,
        waiting: int = 64,
    ) -> None:
        self._work, self._what, self._batch, self._limit = work, what, batch, waiting
        self.items = self.batches = 0
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        self._computing, self._open = 0, True
        self._thread = threading.Thread(target=self._run, name=what, daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Items that wait or are being computed."""
        return len(self._waiting) + self._computing

    @property
    def alive(self) -> bool:
        """Whether items are still computed."""
        return self._open and self._thread.is_alive()

    def __call__(self, items: Sequence[Item]) -> list[Result]:
        """The results of items, once they are computed.

        Raises:
            Refusal: too many items wait already (429). UserError: what `work` raises for one of them.
        """
        with self._changed:
            if not self._open:
                raise Refusal(503, "the service is being stopped")
            if len(self) + len(items) > self._limit:
                raise Refusal(429, f"{len(self)} wait for the {self._what} already; try again in a second")
            futures: list[Future[Result]] = [Future() for _ in items]
            self._waiting.extend(zip(items, futures, strict=True))
            self._changed.notify()
        return [future.result() for future in futures]

    def close(self) -> None:
        """Compute what waits, and take nothing more."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or not self._open)
                if not self._waiting:
                    return
                taken = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
                self._computing = len(taken)
            self._compute(taken)
            del taken  # may hold a gallery that is replaced meanwhile
            with self._changed:
                self._computing = 0

    def _compute(self, taken: Sequence[tuple[Item, Future[Result]]]) -> None:
        try:
            results = list(zip(taken, self._work([item for item, _ in taken]), strict=True))
        except Exception as error:
            if len(taken) > 1 and isinstance(error, UserError):  # one item must not fail those of other requests
                for one in taken:
                    self._compute([one])
                return
            for _, future in taken:
                future.set_exception(error)
            return
        self.items, self.batches = self.items + len(taken), self.batches + 1
        for (_, future), result in results:
            future.set_result(result)
