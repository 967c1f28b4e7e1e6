"""P persons with K images each in every batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from yacs.config import CfgNode

from reid_dml.data.pipeline.samplers import Sampler, SamplerKind, register_sampler
from reid_dml.errors import UserError
from reid_dml.options import Refuse, option


class IdentitySampler(Sampler):
    """P persons with K images each, side by side (Hermans et al., "In Defense of the Triplet Loss", 2017).

    An epoch goes once over the persons in an order drawn anew; the last persons, too few for a batch, are dropped. The
    K images of a person are drawn without repetition; a person with fewer has each of them as often as any other, or
    once more. Images labelled -1 are in no batch.
    """

    def __init__(self, labels: Sequence[int] | np.ndarray, persons: int, images: int, seed: int) -> None:
        """A sampler.

        Args:
            labels: (N,) of the images, -1 = unlabelled.
            persons, images: P and K.
            seed: of the run.
        """
        super().__init__(persons * images, seed)
        labels = np.asarray(labels)
        self.persons = [np.flatnonzero(labels == label) for label in np.unique(labels[labels >= 0])]
        self.persons_per_batch, self.images_per_person = persons, images
        if persons > len(self.persons):
            raise ValueError(f"a batch of {persons} persons is larger than the {len(self.persons)} there are")

    def __len__(self) -> int:
        return len(self.persons) // self.persons_per_batch

    def draw_epoch(self, rng: np.random.Generator) -> np.ndarray:
        order = rng.permutation(len(self.persons))[: len(self) * self.persons_per_batch]
        # np.resize starts over where an order is shorter than K.
        return np.concatenate(
            [np.resize(self.draw_person(self.persons[person], rng), self.images_per_person) for person in order]
        )

    def draw_person(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The images of one person in the order in which they are taken."""
        return rng.permutation(rows)


@register_sampler("identity")
@dataclass(frozen=True)
class Identity(SamplerKind):
    """`IdentitySampler`."""

    gives_pairs: ClassVar[bool] = True

    images_per_identity: int = option(4, "K, images of a person in a batch; P is TRAIN.BATCH_SIZE / K", above=0)

    def build(self, labels: np.ndarray, cameras: np.ndarray, batch_size: int, seed: int) -> Sampler:
        persons = self.persons_per_batch(labels, batch_size)
        return IdentitySampler(labels, persons, self.images_per_identity, seed)

    def persons_per_batch(self, labels: np.ndarray, batch_size: int) -> int:
        """P. Raises `UserError` if the training set has fewer persons."""
        persons, known = batch_size // self.images_per_identity, len(np.unique(labels[labels >= 0]))
        if known < persons:
            raise UserError(
                f"TRAIN.BATCH_SIZE: {batch_size} images, {self.images_per_identity} of a person, are {persons} "
                f"persons, more than the training set's {known}; lower it or raise SAMPLER.IMAGES_PER_IDENTITY"
            )
        return persons

    def images_per_person(self) -> int:
        return self.images_per_identity

    def check(self, cfg: CfgNode, refuse: Refuse) -> None:
        if cfg.SAMPLER.LABELLED_PER_BATCH:
            refuse("SAMPLER.LABELLED_PER_BATCH", f"needs SAMPLER.NAME epoch, it is {cfg.SAMPLER.NAME}")
        if cfg.TRAIN.BATCH_SIZE % self.images_per_identity:
            refuse(
                "TRAIN.BATCH_SIZE",
                f"cannot be shared out to persons of SAMPLER.IMAGES_PER_IDENTITY {self.images_per_identity} images; "
                "set it to a multiple",
            )
