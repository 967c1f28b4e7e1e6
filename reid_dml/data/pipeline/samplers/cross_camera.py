"""P persons with images of K cameras each in every batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reid_dml.data.pipeline.samplers import Sampler, register_sampler
from reid_dml.data.pipeline.samplers.identity import Identity, IdentitySampler
from reid_dml.errors import UserError


class CrossCameraSampler(IdentitySampler):
    """P x K like `IdentitySampler`, the K images of a person from as many different cameras as it has.

    The cameras take turns in a random order: nobody's second image of a camera comes before the first of another.
    """

    def __init__(
        self,
        labels: Sequence[int] | np.ndarray,
        cameras: Sequence[int] | np.ndarray,
        persons: int,
        images: int,
        seed: int,
    ) -> None:
        """A sampler.

        Args:
            labels, persons, images, seed: as for `IdentitySampler`.
            cameras: (N,) camera ids of the images.
        """
        super().__init__(labels, persons, images, seed)
        self.cameras = np.asarray(cameras)

    def draw_person(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        rows = rng.permutation(rows)
        names, camera = np.unique(self.cameras[rows], return_inverse=True)
        earlier = np.tril(camera[:, None] == camera, -1).sum(1)  # images of the same camera before this one
        turn = rng.permutation(len(names))[camera]
        return rows[np.lexsort((turn, earlier))]


@register_sampler("cross_camera")
@dataclass(frozen=True)
class CrossCamera(Identity):
    """`CrossCameraSampler`."""

    def build(self, labels: np.ndarray, cameras: np.ndarray, batch_size: int, seed: int) -> Sampler:
        persons = self.persons_per_batch(labels, batch_size)
        if len(np.unique(cameras)) == 1:
            raise UserError(
                "SAMPLER.NAME: cross_camera needs at least two cameras, the training set has one; set it to identity"
            )
        return CrossCameraSampler(labels, cameras, persons, self.images_per_identity, seed)
