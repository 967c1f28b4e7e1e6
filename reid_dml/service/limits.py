"""How much a request may ask for, and how a request is refused."""

from __future__ import annotations

from dataclasses import dataclass

from reid_dml.errors import UserError


class Refusal(UserError):
    """A request that is not answered: `status` is that of HTTP, the message is one line for whoever asked."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """How much a request may ask for.

    Attributes:
        upload_bytes: largest body of a request.
        image_pixels: largest width x height of an image, asked of its header before anything is decoded.
        images: of one request.
        waiting: images that may wait for the networks, and requests that may send images at a time; more are refused.
        results: length of a ranked list.

    Raises:
        UserError: on construction, for limits that would refuse every request.
    """

    upload_bytes: int = 32_000_000
    image_pixels: int = 40_000_000
    images: int = 32
    waiting: int = 64
    results: int = 1000

    def __post_init__(self) -> None:
        for name in ("upload_bytes", "image_pixels", "images", "waiting", "results"):
            if getattr(self, name) < 1:
                raise UserError(f"limit {name}: {getattr(self, name)} would refuse every request; it must be 1 or more")
        if self.waiting < self.images:
            raise UserError(f"{self.waiting} waiting images: a request may have {self.images}; let as many wait")
