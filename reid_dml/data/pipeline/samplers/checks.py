"""What a sampler has to give, said of one that does not: it would train on other batches than the config says."""

from __future__ import annotations

import numpy as np

from reid_dml.data.pipeline.samplers import Sampler
from reid_dml.errors import UserError


def check_sampler(sampler: Sampler, images: int, batch_size: int) -> None:
    """Look at the first epoch of a sampler, before anything is trained.

    Args:
        sampler: says which images a batch holds.
        images: of the training set.
        batch_size: images that a batch is to hold.

    Raises:
        UserError: batches of another size, no batch, or what are no positions of images.
    """
    if sampler.batch_size != batch_size:
        raise UserError(
            f"SAMPLER.NAME: {_name(sampler)} makes batches of {sampler.batch_size} images, TRAIN.BATCH_SIZE is "
            f"{batch_size}; set them alike, or give Sampler.__init__ the batch size that `build` is asked for"
        )
    if len(sampler) < 1:
        raise UserError(
            f"SAMPLER.NAME: {_name(sampler)} has no batch in an epoch (its len is 0); lower TRAIN.BATCH_SIZE, or give "
            "it more training images"
        )
    for step in sorted({0, len(sampler) - 1}):
        rows = sampler.indices(step)
        check_size(sampler, step, len(rows))
        whole = isinstance(rows, np.ndarray) and rows.ndim == 1 and rows.dtype.kind in "iu"
        if not whole or rows.min() < 0 or rows.max() >= images:
            what = f"{rows.min()} to {rows.max()}" if whole else f"{type(rows).__name__} {np.asarray(rows).dtype}"
            raise UserError(
                f"SAMPLER.NAME: {_name(sampler)} gives {what} for batch {step:,}; wanted are positions of the "
                f"{images:,} training images, 0 to {images - 1:,}, as an array (n,) of int64"
            )


def check_size(sampler: Sampler, step: int, images: int) -> None:
    """Look at one batch of a sampler.

    Args:
        sampler: whose batch it is.
        step: number of the batch, counted from 0 over the whole run.
        images: that it holds.

    Raises:
        UserError: another number of images than wanted.
    """
    if images != sampler.batch_size:
        raise UserError(
            f"SAMPLER.NAME: {_name(sampler)} gives {images} images for batch {step:,} of the run, {sampler.batch_size} "
            f"are wanted; its draw_epoch must give {len(sampler) * sampler.batch_size:,} positions, for "
            f"{len(sampler):,} batches an epoch (its len)"
        )


def _name(sampler: Sampler) -> str:
    return f"{type(sampler).__module__}.{type(sampler).__qualname__}"
