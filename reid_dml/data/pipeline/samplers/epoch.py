"""Every image once an epoch, or a fixed number of labelled ones in every batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from yacs.config import CfgNode

from reid_dml.data.pipeline.samplers import Sampler, SamplerKind, register_sampler
from reid_dml.errors import UserError
from reid_dml.options import Refuse, option


class EpochSampler(Sampler):
    """Every image once an epoch, in an order drawn anew for each; the last incomplete batch is dropped."""

    def __init__(self, num_images: int, batch_size: int, seed: int) -> None:
        """A sampler.

        Args:
            num_images: N.
            batch_size: images in a batch, at most N.
            seed: of the run.
        """
        super().__init__(batch_size, seed)
        if batch_size > num_images:
            raise ValueError(f"a batch of {batch_size} is larger than the {num_images} images")
        self.num_images = num_images

    def __len__(self) -> int:
        return self.num_images // self.batch_size

    def draw_epoch(self, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(self.num_images)


class QuotaSampler(Sampler):
    """A fixed number of labelled images in every batch, in front of the unlabelled ones.

    An epoch goes once over the unlabelled images, less the last incomplete batch; the labelled ones are gone through
    again and again, each time in an order drawn anew.
    """

    def __init__(self, labels: Sequence[int] | np.ndarray, batch_size: int, labelled: int, seed: int) -> None:
        """A sampler.

        Args:
            labels: (N,) of the images, -1 = unlabelled.
            batch_size: images in a batch.
            labelled: those of them that have a label.
            seed: of the run.
        """
        super().__init__(batch_size, seed)
        labels = np.asarray(labels)
        self.labelled, self.unlabelled = np.flatnonzero(labels >= 0), np.flatnonzero(labels < 0)
        self.quota = labelled
        if len(self.unlabelled) < batch_size - labelled:
            raise ValueError(f"{batch_size - labelled} unlabelled images a batch are more than {len(self.unlabelled)}")

    def __len__(self) -> int:
        return len(self.unlabelled) // (self.batch_size - self.quota)

    def draw_epoch(self, rng: np.random.Generator) -> np.ndarray:
        others = rng.permutation(self.unlabelled)[: len(self) * (self.batch_size - self.quota)]
        rounds = -(-len(self) * self.quota // len(self.labelled))
        known = np.concatenate([rng.permutation(self.labelled) for _ in range(rounds)])[: len(self) * self.quota]
        return np.concatenate([known.reshape(len(self), -1), others.reshape(len(self), -1)], axis=1).ravel()


@register_sampler("epoch")
@dataclass(frozen=True)
class Epoch(SamplerKind):
    """`EpochSampler` or, with a number of labelled images a batch, `QuotaSampler`."""

    labelled_per_batch: int = option(0, "labelled images in every batch (see SEMI); 0: as they come", least=0)

    def build(self, labels: np.ndarray, cameras: np.ndarray, batch_size: int, seed: int) -> Sampler:
        if self.labelled_per_batch:
            unlabelled, places = int((labels < 0).sum()), batch_size - self.labelled_per_batch
            if unlabelled < places:
                raise UserError(
                    f"SAMPLER.LABELLED_PER_BATCH: leaves {places} places for unlabelled images, there are "
                    f"{unlabelled}; raise it or lower TRAIN.BATCH_SIZE"
                )
            return QuotaSampler(labels, batch_size, self.labelled_per_batch, seed)
        if len(labels) < batch_size:
            raise UserError(
                f"TRAIN.BATCH_SIZE: a batch of {batch_size} is larger than the training set of {len(labels)} images; "
                "lower it"
            )
        return EpochSampler(len(labels), batch_size, seed)

    def check(self, cfg: CfgNode, refuse: Refuse) -> None:
        if not self.labelled_per_batch:
            return
        if self.labelled_per_batch >= cfg.TRAIN.BATCH_SIZE:
            refuse("SAMPLER.LABELLED_PER_BATCH", "must leave room for unlabelled images in TRAIN.BATCH_SIZE")
        if cfg.SEMI.UNLABELLED == "drop" or (cfg.SEMI.LABELLED_SHARE == 1 and not cfg.SEMI.LABELLED_IDENTITIES):
            refuse("SAMPLER.LABELLED_PER_BATCH", "needs unlabelled images, but SEMI leaves none")
