"""Are these two the same person? The threshold of a wanted false-accept rate, from labelled features.

A pair of images is accepted if its cosine similarity is at least the threshold (Euclidean: its distance at most). The
false-accept rate (FAR) is the share of accepted pairs among those of different persons, the true-accept rate (TAR)
that among those of the same person. As in evaluation, junk and pairs of one person in one known camera are left out;
so are images without a label and pairs of two distractors, of whom nobody knows whether they are the same person. A
distractor and a person are different.

Pairs are counted block by block, exactly: float32 scores are sorted into 65,536 bins by their upper 16 bits, then those
of the bin that holds the threshold by their lower 16. The pair matrix is never held.

Confidence intervals. The pairs of one person are not independent, so the rates' standard errors come from leaving out
one person at a time with all its pairs (the delete-one jackknife; each distractor counts as a person). The interval of
the FAR is taken on the logarithm, that of the TAR on the logit; the FAR's is carried over to the threshold by the
quantiles of the scores at its two ends (Woodruff, 1952).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from reid_dml.data.records import DISTRACTOR
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.validation import check_features, check_metric, check_models, check_widths
from reid_dml.ranking.label_checks import check_labelled
from reid_dml.ranking.protocol import is_labelled, is_match, is_negative
from reid_dml.search.index_types import as_vectors

_BLOCK = 1 << 22  # pairs held at a time
_BINS = 1 << 16


@dataclass(frozen=True)
class Calibration:
    """A threshold and what it does on the features it was found on; intervals are (low, high)."""

    metric: str
    threshold: float
    threshold_interval: tuple[float, float]
    wanted_false_accept_rate: float
    false_accept_rate: float
    false_accept_rate_interval: tuple[float, float]
    true_accept_rate: float
    true_accept_rate_interval: tuple[float, float]
    confidence: float
    different_pairs: int
    same_pairs: int
    persons: int
    model: str
    method: str = "delete-one-person jackknife; threshold by Woodruff's method"

    def as_dict(self) -> dict[str, Any]:
        """The layout of JSON files."""
        return asdict(self)


def calibrate(
    features: FeatureSet,
    gallery: FeatureSet | None = None,
    *,
    false_accept_rate: float = 1e-3,
    metric: str = "cosine",
    confidence: float = 0.95,
    names: tuple[str, str] = ("features", "gallery"),
) -> Calibration:
    """The most permissive threshold whose false-accept rate on these features is at most the wanted one.

    Args:
        features: labelled features; alone, all pairs among them are judged.
        gallery: with it, the pairs of one image of `features` and one of the gallery.
        false_accept_rate: wanted share of accepted pairs among those of different persons, in (0, 1).
        metric: `cosine` or `euclidean`.
        confidence: of the intervals.
        names: what messages call `features` and `gallery`, such as their files.

    Raises:
        ValueError: unknown metric, a rate or confidence not in (0, 1).
        FeatureError: features that cannot be compared: different widths (it is a ValueError too) or models, not finite,
            too large. Under cosine, zero vectors count as similarity 0, with a warning.
        UserError: no pairs of the same or of different persons, or too few of them to measure so small a rate.
    """
    check_metric(metric)
    if not (0 < false_accept_rate < 1 and 0 < confidence < 1):
        raise ValueError(f"rate {false_accept_rate} and confidence {confidence} must lie between 0 and 1")
    pairs = _Pairs(features, gallery, metric, names)
    histogram = pairs.histogram(lambda keys: keys >> 16)
    if not (count := int(histogram.sum())):
        raise UserError("there are no pairs of different persons; calibration needs images of at least two")
    allowed = _accepted(false_accept_rate, count)
    if not allowed:
        raise UserError(
            f"a false-accept rate of {false_accept_rate:g} cannot be measured on {count:,} pairs of different persons: "
            f"ask for {1 / max(count, 1):.1g} or more, or give more persons"
        )
    key = pairs.key_above(histogram, allowed)
    far, far_error, _ = pairs.rate(key, same=False)
    tar, tar_error, same_pairs = pairs.rate(key, same=True)
    if not same_pairs:
        raise UserError("there are no pairs of one person under different cameras; check the person and camera ids")
    z = -NormalDist().inv_cdf((1 - confidence) / 2)  # the lower tail keeps its digits near a confidence of 1
    spread = z * far_error / far if far else 0.0
    far_interval = (far * math.exp(-spread), min(1.0, far * math.exp(spread)))
    ends = [pairs.key_above(histogram, _accepted(rate, count)) for rate in far_interval]
    thresholds = sorted(pairs.threshold(end) for end in ends)
    return Calibration(
        metric=metric,
        threshold=pairs.threshold(key),
        threshold_interval=(thresholds[0], thresholds[1]),
        wanted_false_accept_rate=false_accept_rate,
        false_accept_rate=far,
        false_accept_rate_interval=far_interval,
        true_accept_rate=tar,
        true_accept_rate_interval=_logit_interval(tar, z * tar_error),
        confidence=confidence,
        different_pairs=count,
        same_pairs=same_pairs,
        persons=pairs.persons,
        model=features.model,
    )


class _Pairs:
    """All judged pairs, block by block. A score is larger for nearer images; a key orders as scores do, as uint32."""

    def __init__(self, features: FeatureSet, gallery: FeatureSet | None, metric: str, names: tuple[str, str]) -> None:
        self.metric, self.alone = metric, gallery is None
        if gallery is not None:
            check_widths(names[1], gallery.features.shape[1], names[0], features.features.shape[1])
            check_models(names[1], gallery.model, names[0], features.model)
        for name, side in zip(names, (features, gallery), strict=True):
            if side is not None:
                check_features(name, side, metric)
                check_labelled(name, side)
        sides = [side.select(is_labelled(side.person_ids)) for side in (features, gallery) if side is not None]
        vectors = [as_vectors(side.features, metric) for side in sides]
        people = np.concatenate([side.person_ids for side in sides])
        # Whom to leave out at a time: persons, and every distractor by itself.
        unit_ids, units = np.unique(
            np.where(people == DISTRACTOR, -1 - np.arange(len(people)), people), return_inverse=True
        )
        self.count, self.persons = len(unit_ids), int((unit_ids > 0).sum())
        split = len(sides[0])
        self.left = (vectors[0], units[:split], sides[0].person_ids, sides[0].camera_ids)
        self.right = self.left if self.alone else (vectors[1], units[split:], sides[1].person_ids, sides[1].camera_ids)

    def histogram(self, bins: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """(65536,) numbers of pairs of different persons by bin of their keys; 65536 and more are no bins."""
        total = np.zeros(_BINS, np.int64)
        for keys, _, _, _, different in self._blocks():
            found = bins(keys[different])
            total += np.bincount(found[found < _BINS], minlength=_BINS)
        return total

    def key_above(self, histogram: np.ndarray, allowed: int) -> int:
        """The least key that at most `allowed` pairs of different persons reach: one above the next one's."""
        above = histogram[::-1].cumsum()[::-1]  # pairs in this bin or higher
        upper = int(np.flatnonzero(above > allowed)[-1])  # the bin of the (allowed + 1)-th highest
        rest = allowed - int(above[upper] - histogram[upper])
        low = self.histogram(lambda keys: np.where(keys >> 16 == upper, keys & 0xFFFF, _BINS))
        above = low[::-1].cumsum()[::-1]
        return (upper << 16 | int(np.flatnonzero(above > rest)[-1])) + 1

    def rate(self, key: int, *, same: bool) -> tuple[float, float, int]:
        """Share of the pairs of the same, or of different, persons that reach a key; its jackknife error; their number.

        Every pair is tallied for all units it goes with: one where they are the same, else two.
        """
        reached, every = np.zeros(self.count, np.int64), np.zeros(self.count, np.int64)
        for keys, rows, columns, same_mask, different in self._blocks():
            mask = same_mask if same else different
            for total, pairs in ((reached, mask & (keys >= key)), (every, mask)):
                total += np.bincount(rows, pairs.sum(1), self.count).astype(np.int64)
                if not same:
                    total += np.bincount(columns, pairs.sum(0), self.count).astype(np.int64)
        units = 1 if same else 2
        hits, count = int(reached.sum()) // units, int(every.sum()) // units
        rate = hits / max(count, 1)
        left = count - every[every > 0]
        without = np.divide(hits - reached[every > 0], left, out=np.full(len(left), rate), where=left > 0)
        spread = float(((without - without.mean()) ** 2).mean()) if len(left) else 0.0
        return rate, math.sqrt(max(len(left) - 1, 0) * spread), count

    def threshold(self, key: int) -> float:
        """The similarity or distance of a key; -1 is a distance that no pair has."""
        if self.metric == "euclidean" and key > 0x80000000:  # above a score of 0; asked of the key, as a process that
            return -1.0  # flushes denormal numbers, as training does, would see 0
        bits = np.uint32(key)
        value = float((bits ^ (np.uint32(0x80000000) if bits >> 31 else np.uint32(0xFFFFFFFF))).view(np.float32))
        return value if self.metric == "cosine" else math.sqrt(0.0 - value)

    def _blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """(keys, units of the rows, units of the columns, same-person mask, different-person mask) of each block."""
        vectors, units, people, cameras = self.right
        squares = np.einsum("nd,nd->n", vectors, vectors) if self.metric == "euclidean" else None
        step = max(1, _BLOCK // max(len(vectors), 1))
        for start in range(0, len(self.left[0]), step):
            stop = min(start + step, len(self.left[0]))
            first = start if self.alone else 0
            scores = self.left[0][start:stop] @ vectors[first:].T
            if squares is not None:
                own = np.einsum("nd,nd->n", self.left[0][start:stop], self.left[0][start:stop])
                scores = np.minimum(2 * scores - own[:, None] - squares[first:], 0)
            rows, columns = self.left[1][start:stop], units[first:]
            persons, seen = self.left[2][start:stop], self.left[3][start:stop]
            same = is_match(persons[:, None], seen[:, None], people[first:], cameras[first:])
            different = is_negative(persons[:, None], people[first:])
            if self.alone:  # each pair once, none of an image and itself
                once = np.arange(stop - start)[:, None] < np.arange(scores.shape[1])
                same, different = same & once, different & once
            yield _keys(scores), rows, columns, same, different


def _accepted(rate: float, count: int) -> int:
    """The most of `count` pairs that are a share of at most `rate`; never all of them."""
    return min(int(rate * count + 1e-6), count - 1)  # 0.29 * 100 is a little less than 29


def _keys(scores: np.ndarray) -> np.ndarray:
    """float32 scores as uint32 of the same order."""
    bits = (scores + np.float32(0)).view(np.uint32)  # adding 0 makes -0 equal to 0
    return bits ^ np.where(bits >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))


def _logit_interval(rate: float, half_width: float) -> tuple[float, float]:
    """rate +- half_width, as an interval of the logit; degenerate rates have no width."""
    if not 0 < rate < 1:
        return rate, rate
    logit, half = math.log(rate / (1 - rate)), half_width / (rate * (1 - rate))
    low, high = (1 / (1 + math.exp(-(logit + sign * half))) for sign in (-1, 1))
    return low, high
