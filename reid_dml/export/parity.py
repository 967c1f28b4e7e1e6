"""Whether an exported file gives the features of the networks it was made from, on images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reid_dml.data.records import ImageRecord
from reid_dml.errors import UserError
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.ranking.metrics import RankingMetrics, evaluate_rankings

BATCHES = (1, 3, 16)
LEAST_COSINE = 0.9999
_FEW = 33  # images that go through in small batches: none fills all of them


@dataclass(frozen=True)
class Parity:
    """How near the features of a file are to those of its networks."""

    cosine: Mapping[int, float]  # the least, by the number of images in a batch
    images: int
    ours: RankingMetrics
    theirs: RankingMetrics

    @property
    def lost(self) -> float:
        """Of mAP, as a fraction; negative where the file's is higher."""
        return self.ours.mAP - self.theirs.mAP

    def check(self, path: object) -> None:
        """Raise `UserError` unless the features are the same for all that use them."""
        others = [batch for batch, cosine in self.cosine.items() if not cosine >= LEAST_COSINE]  # NaN among them
        if others:
            worst = others[0]
            raise UserError(
                f"{path}: not written: in batches of {worst} its features are not those of the networks (least cosine "
                f"{self.cosine[worst]:.6f}, {LEAST_COSINE} is needed); try another format"
            )
        if self.ours.cmc[0] != self.theirs.cmc[0]:
            raise UserError(
                f"{path}: not written: its rank-1 is {100 * self.theirs.cmc[0]:.2f} %, that of the networks "
                f"{100 * self.ours.cmc[0]:.2f} %; try another format"
            )

    def check_loss(self, path: object, most: float) -> None:
        """Raise `UserError` if more mAP is lost than may be.

        Args:
            path: of the file.
            most: percentage points.
        """
        if not 100 * self.lost <= most:  # true of NaN as well
            raise UserError(
                f"{path}: not written: int8 loses {100 * self.lost:.2f} points of mAP, more than {most:g}; calibrate "
                "with images like those it is for (--calibration), or allow it with --most-loss"
            )

    def __str__(self) -> str:
        cosines = ", ".join(f"{value:.7f} in batches of {batch}" for batch, value in self.cosine.items())
        return (
            f"{self.images:,} images: least cosine with the networks' features {cosines}; rank-1 "
            f"{100 * self.theirs.cmc[0]:.2f} % (networks {100 * self.ours.cmc[0]:.2f} %), mAP "
            f"{100 * self.theirs.mAP:.2f} % (networks {100 * self.ours.mAP:.2f} %)"
        )


def compare(
    ours: FeatureExtractor, theirs: FeatureExtractor, query: Sequence[ImageRecord], gallery: Sequence[ImageRecord]
) -> Parity:
    """Compare a file with its networks.

    Args:
        ours: the networks.
        theirs: the file.
        query, gallery: images with persons and cameras, by which rank-1 and mAP are computed.
    """
    *small, large = BATCHES
    own, few = [ours.extract(records, "networks") for records in (query, gallery)], query[:_FEW]
    cosine: dict[int, float] = {}
    for batch in small:
        cosine[batch] = least_cosine(own[0].features[: len(few)], _in_batches(theirs, batch).extract(few).features)
    found = [_in_batches(theirs, large).extract(records, "file") for records in (query, gallery)]
    cosine[large] = min(least_cosine(one.features, other.features) for one, other in zip(own, found, strict=True))
    return Parity(cosine, len(query) + len(gallery), evaluate_rankings(*own), evaluate_rankings(*found))


def _in_batches(extractor: FeatureExtractor, size: int) -> FeatureExtractor:
    cfg = extractor.cfg.clone()
    cfg.defrost()
    cfg.TEST.BATCH_SIZE = size
    return FeatureExtractor(cfg, extractor.networks, extractor.device)


def least_cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The least cosine similarity of rows of two arrays (N, D), whose rows have length 1."""
    return float((ours.astype(np.float64) * theirs).sum(axis=1).min())


def images_per_second(
    computes: Mapping[str, Callable[[], object]], batch: int, *, seconds: float, clock: Callable[[], float]
) -> dict[str, float]:
    """How fast several computations of one batch are, in turn, so that a busy machine slows all of them alike.

    Args:
        computes: what to time, by name.
        batch: its images.
        seconds: for each, at least; the fastest call counts.
        clock: gives seconds.
    """
    best = dict.fromkeys(computes, float("inf"))
    used = dict.fromkeys(computes, 0.0)
    for compute in computes.values():
        compute()  # the first call prepares things
    while min(used.values()) < seconds:
        for name, compute in computes.items():
            started = clock()
            compute()
            taken = clock() - started
            best[name], used[name] = min(best[name], taken), used[name] + taken
    return {name: batch / value for name, value in best.items()}
