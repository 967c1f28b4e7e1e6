"""How fast images went through networks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from reid_dml.processes import gather_objects, rank

logger = logging.getLogger(__name__)


@dataclass
class Speed:
    """How fast images went through the networks."""

    images: int = 0
    seconds: float = 0.0
    waiting: float = 0.0  # of these seconds, until the images were there

    @staticmethod
    def together(parts: Sequence[Speed], *, copies: int = 1) -> Speed:
        """The speed of several processes that worked at the same time: that of the slowest.

        Args:
            parts: of each process.
            copies: processes that each read the same images, for different networks of the cohort.
        """
        slowest = max(parts, key=lambda part: part.seconds)
        return Speed(sum(part.images for part in parts) // copies, slowest.seconds, slowest.waiting)

    def __str__(self) -> str:
        seconds = max(self.seconds, 1e-9)
        return (
            f"{self.images:,} images in {self.seconds:.1f} s, {self.images / seconds:,.0f} images/s, "
            f"{self.waiting / seconds:.0%} of the time waiting for them"
        )


def log_speed(speed: Speed, *, copies: int = 1) -> None:
    """Log on process 0 how fast all processes were together; every process calls it. See `Speed.together`."""
    parts = gather_objects(speed)
    if rank() == 0:
        logger.info("features of %s", Speed.together(parts, copies=copies))
