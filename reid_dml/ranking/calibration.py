"""Are these two the same person? The threshold of a wanted false-accept rate, from labelled features.

A pair of images is accepted if its cosine similarity is at least the threshold (Euclidean: its distance at most). The
false-accept rate (FAR) is the share of accepted pairs among those of different persons, the true-accept rate (TAR)
that among those of the same person. As in evaluation, junk and pairs of one person in one known camera, or in the same
clothes where matches wear others, are left out; so are images without a label and pairs of two distractors, of whom
nobody knows whether they are the same person. A distractor and a person are different.

Pairs are counted block by block, exactly: float32 scores are sorted into 65,536 bins by their upper 16 bits, then those
of the bin that holds the threshold by their lower 16. The threshold lies halfway between the last pair refused and the
first accepted. The pair matrix is never held. All pairs of N images are N^2 / 2; where that takes too long, the pairs
of some drawn images with all others are judged (`sample`).

Confidence intervals. The pairs of one person are not independent, so the rates' standard errors come from leaving out
one person at a time with all its pairs (the delete-one jackknife; each distractor counts as a person). The interval of
the FAR is taken on the logarithm, that of the TAR on the logit; the FAR's is carried over to the threshold by the
quantiles of the scores at its two ends (Woodruff, 1952). Of a sample the same is computed from its pairs: the intervals
widen as persons and pairs become fewer.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from tqdm import tqdm

from reid_dml.data.records import DISTRACTOR
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet, heavy_offset
from reid_dml.features.validation import (
    check_features,
    check_metric,
    check_models,
    check_whole_number,
    check_widths,
    row_squares,
)
from reid_dml.ranking.label_checks import check_labelled
from reid_dml.ranking.own_images import own_images
from reid_dml.ranking.probability import SamePerson, ScoreCounts, count_scores, fit_probability, logistic
from reid_dml.ranking.protocol import in_own_clothes, is_labelled, is_match, is_negative
from reid_dml.ranking.roc import accepted_pairs
from reid_dml.search.index_types import as_vectors

logger = logging.getLogger(__name__)

_BLOCK = 1 << 22  # pairs held at a time
_BINS = 1 << 16
_NO_KEY = 0xFFFFFFFF  # above those of all scores
_PASSES = 4  # over all pairs
_LONG = 120  # seconds that are worth a word
_LARGEST_EXPONENT = 700.0  # exp(710) overflows; a rate of one pair in 10^300 times exp(700) is above 1 already


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
    counts: ScoreCounts
    same_person: SamePerson
    sampled_images: int = 0
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
    sample: int = 0,
    names: tuple[str, str] = ("features", "gallery"),
) -> Calibration:
    """The threshold that accepts the most of these features' pairs at a false-accept rate of at most the wanted one.

    Args:
        features: labelled features; alone, all pairs among them are judged.
        gallery: with it, the pairs of one image of `features` and one of the gallery.
        false_accept_rate: wanted share of accepted pairs among those of different persons, in (0, 1).
        metric: `cosine` or `euclidean`.
        confidence: of the intervals.
        sample: judge the pairs of so many images of `features`, drawn with a fixed seed, with all others; 0: of all.
        names: what messages call `features` and `gallery`, such as their files.

    Raises:
        ValueError: unknown metric, a rate or confidence not in (0, 1), or a sample that is no whole number.
        FeatureError: features that cannot be compared: different widths (it is a ValueError too) or models, not finite,
            too large. Under cosine, zero vectors count as similarity 0, with a warning.
        UserError: no pairs of the same or of different persons, or too few of them to measure so small a rate.
    """
    check_metric(metric)
    check_whole_number("sample", sample, least=0)
    for name, share in (("false_accept_rate", false_accept_rate), ("confidence", confidence)):
        if not isinstance(share, (int, float, np.floating)):
            raise ValueError(f"{name}: must be a number, got {share!r}")
    if not (0 < false_accept_rate < 1 and 0 < confidence < 1):
        raise ValueError(f"rate {false_accept_rate} and confidence {confidence} must lie between 0 and 1")
    pairs = _Pairs(features, gallery, metric, names, sample)
    with pairs.progress():
        return _calibrate(pairs, false_accept_rate, confidence, features.model)


def _calibrate(pairs: _Pairs, false_accept_rate: float, confidence: float, model: str) -> Calibration:
    same, histogram = pairs.histograms()
    if not (count := int(histogram.sum())):
        raise UserError("there are no pairs of different persons; calibration needs images of at least two")
    allowed = _accepted(false_accept_rate, count)
    if not allowed:
        ask = f"ask for {_least_rate(count):g} or more, or " if count > 1 else ""
        raise UserError(
            f"a false-accept rate of {false_accept_rate:g} cannot be measured on {count:,} pairs of different persons: "
            f"{ask}give more persons"
        )
    same_pairs = int(same.sum())
    if not same_pairs:
        raise UserError(
            "there are no pairs of one person under different cameras (and in other clothes, where a data set asks for "
            "that); check the person and camera ids"
        )
    (refused,) = pairs.refused(histogram, [allowed])
    (tar, tar_error), (far, far_error), accepted = pairs.rates(refused + 1)
    threshold = pairs.threshold(refused, accepted)
    z = -NormalDist().inv_cdf((1 - confidence) / 2)  # the lower tail keeps its digits near a confidence of 1
    spread = z * far_error / far if far else 0.0
    far_interval = (far * math.exp(-spread), min(1.0, far * math.exp(min(spread, _LARGEST_EXPONENT))))
    ends = pairs.refused(histogram, [_accepted(rate, count) for rate in far_interval])
    thresholds = sorted(threshold if end == refused else pairs.threshold(end) for end in ends)
    scores = pairs.bin_scores()
    return Calibration(
        metric=pairs.metric,
        threshold=threshold,
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
        model=model,
        counts=count_scores(scores, same, histogram),
        same_person=fit_probability(scores, same, histogram),
        sampled_images=pairs.sampled,
    )


class _Pairs:
    """All judged pairs, block by block. A score is larger for nearer images; a key orders as scores do, as uint32.

    Of a sample, the rows are the drawn images and the columns all; a pair of two drawn images counts once.
    """

    def __init__(
        self, features: FeatureSet, gallery: FeatureSet | None, metric: str, names: tuple[str, str], sample: int
    ) -> None:
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
        if metric == "euclidean":
            offset = heavy_offset(vectors[-1], row_squares(vectors[-1]))
            vectors = vectors if offset is None else [side - offset for side in vectors]
        people = np.concatenate([side.person_ids for side in sides])
        # Whom to leave out at a time: persons, and every distractor by itself.
        unit_ids, units = np.unique(
            np.where(people == DISTRACTOR, -1 - np.arange(len(people)), people), return_inverse=True
        )
        self.count, self.persons = len(unit_ids), int((unit_ids > 0).sum())
        split = len(sides[0])
        columns = [(side.person_ids, side.camera_ids, side.clothes) for side in sides]
        first = (vectors[0], units[:split], *columns[0])
        self.right = first if self.alone else (vectors[1], units[split:], *columns[1])
        self.sampled = sample if 0 < sample < split else 0
        self.rows = np.arange(split)
        if self.sampled:
            self.rows = np.sort(np.random.default_rng(0).choice(split, sample, replace=False))
        self.left = tuple(column[self.rows] for column in first)
        # Of rows that are drawn and columns, the pairs of an image with itself.
        none = np.empty(0, np.int64)
        self.own = (none, none) if self.alone else own_images(sides[0].select(self.rows), sides[1], metric=metric)
        self._bar = tqdm(disable=True)

    @contextmanager
    def progress(self) -> Iterator[None]:
        """While it lasts, passes over the pairs are shown, and said to be long if they are."""
        columns = len(self.right[0])
        every = len(self.rows) * columns // (2 if self.alone and not self.sampled else 1)
        with tqdm(
            total=_PASSES * every, desc="pairs", unit="pair", unit_scale=True, leave=False, disable=None
        ) as self._bar:
            self._started: float | None = time.monotonic()
            self._done, self._all = 0, _PASSES * every
            yield

    def _advance(self, pairs: int) -> None:
        self._bar.update(pairs)
        self._done += pairs
        if self._started is not None and (passed := time.monotonic() - self._started) > 5:
            self._started = None  # said once
            whole = passed * self._all / self._done
            if whole > _LONG:
                logger.info(
                    f"judging {self._all // _PASSES:,} pairs {_PASSES} times takes about {whole / 60:.0f} minutes; "
                    "--sample N judges those of N images only"
                )

    def histograms(self) -> np.ndarray:
        """(2, 65536) numbers of pairs of the same and of different persons by the upper 16 bits of their keys."""
        total = np.zeros((2, _BINS), np.int64)
        for keys, _, _, *masks in self._blocks():
            for counts, mask in zip(total, masks, strict=True):
                counts += np.bincount(keys[mask] >> 16, minlength=_BINS)
        return total

    def refused(self, histogram: np.ndarray, allowed: Sequence[int]) -> list[int]:
        """For each number, the key above which at most so many pairs of different persons lie: that of the next one.

        Args:
            histogram: of the pairs of different persons, see `histograms`.
            allowed: the numbers.
        """
        above = histogram[::-1].cumsum()[::-1]  # pairs in this bin or higher
        uppers = [int(np.flatnonzero(above > number)[-1]) for number in allowed]  # bins of the next highest
        low = {upper: np.zeros(_BINS, np.int64) for upper in uppers}
        for keys, _, _, _, different in self._blocks():
            found = keys[different]
            for upper, counts in low.items():
                counts += np.bincount(found[found >> 16 == upper] & 0xFFFF, minlength=_BINS)
        next_ones = []
        for upper, number in zip(uppers, allowed, strict=True):
            rest = number - int(above[upper] - histogram[upper])
            reached = low[upper][::-1].cumsum()[::-1]
            next_ones.append(upper << 16 | int(np.flatnonzero(reached > rest)[-1]))
        return next_ones

    def rates(self, key: int) -> tuple[tuple[float, float], tuple[float, float], int | None]:
        """Share of the pairs of the same, and of different, persons that reach a key, each with its jackknife error.

        Every pair is tallied for all units it goes with: one where they are the same, else two. The third is the least
        key of these pairs; None: there are none.
        """
        tallies = np.zeros((2, 2, self.count), np.int64)  # same or different, reached or every, unit
        least = []
        for keys, rows, columns, *masks in self._blocks():
            reached = keys >= key
            for kind, mask in enumerate(masks):
                accepted = mask & reached
                least.append(int(keys.min(initial=_NO_KEY, where=accepted)))
                for total, pairs in zip(tallies[kind], (accepted, mask), strict=True):
                    total += np.bincount(rows, pairs.sum(1), self.count).astype(np.int64)
                    if kind:
                        total += np.bincount(columns, pairs.sum(0), self.count).astype(np.int64)
        same, different = (_rate(*tally, units=1 + kind) for kind, tally in enumerate(tallies))
        return same, different, min(least) if min(least) < _NO_KEY else None

    def bin_scores(self) -> np.ndarray:
        """(65536,) similarity or distance in the middle of every bin of `histograms`; NaN where there is none."""
        bits = (np.arange(_BINS, dtype=np.uint32) << 16) | 0x8000
        values = (bits ^ np.where(bits >> 31, np.uint32(0x80000000), np.uint32(0xFFFFFFFF))).view(np.float32)
        with np.errstate(invalid="ignore"):
            return values.astype(float) if self.metric == "cosine" else np.sqrt(np.maximum(-values.astype(float), 0))

    def threshold(self, refused: int, accepted: int | None = None) -> float:
        """The similarity or distance, of float32, that refuses all up to a key; -1 is a distance that no pair has.

        It is halfway to the key of the next pair, where that is given: equal distances lie on one side of it, however
        they are rounded.
        """
        if self.metric == "euclidean" and refused >= 0x80000000:  # a score of 0; asked of the key, as a process that
            return -1.0  # flushes denormal numbers, as training does, would see 0
        last = self._score(refused)
        halfway = np.float32(last if accepted is None else (last + self._score(accepted)) / 2)
        nearest, inwards = np.float32(last), np.float32(math.inf if self.metric == "cosine" else 0)
        apart = halfway > nearest if self.metric == "cosine" else halfway < nearest
        return float(halfway if apart else np.nextafter(nearest, inwards))

    def _score(self, key: int) -> float:
        """The similarity or distance of a key."""
        bits = np.uint32(key)
        value = float((bits ^ (np.uint32(0x80000000) if bits >> 31 else np.uint32(0xFFFFFFFF))).view(np.float32))
        return value if self.metric == "cosine" else math.sqrt(0.0 - value)

    def _blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """(keys, units of the rows, units of the columns, same-person mask, different-person mask) of each block."""
        vectors, units, people, cameras, clothes = self.right
        squares = np.einsum("nd,nd->n", vectors, vectors) if self.metric == "euclidean" else None
        drawn = np.isin(np.arange(len(vectors)), self.rows) if self.alone else None
        step = max(1, _BLOCK // max(len(vectors), 1))
        for start in range(0, len(self.rows), step):
            stop = min(start + step, len(self.rows))
            first = start if self.alone and not self.sampled else 0
            scores = self.left[0][start:stop] @ vectors[first:].T
            if squares is not None:
                own = np.einsum("nd,nd->n", self.left[0][start:stop], self.left[0][start:stop])
                scores = np.minimum(2 * scores - own[:, None] - squares[first:], 0)
            rows, columns = self.left[1][start:stop], units[first:]
            persons, seen, worn = (column[start:stop, None] for column in self.left[2:])
            same = is_match(persons, seen, people[first:], cameras[first:], in_own_clothes(worn, clothes[first:]))
            different = is_negative(persons, people[first:])
            here = (self.own[0] >= start) & (self.own[0] < stop)
            same[self.own[0][here] - start, self.own[1][here]] = False
            if drawn is not None:  # each pair once, none of an image and itself
                once = self.rows[start:stop, None] < np.arange(first, len(vectors))
                if self.sampled:
                    once |= ~drawn
                same, different = same & once, different & once
            yield _keys(scores), rows, columns, same, different
            self._advance(scores.size)


def _rate(reached: np.ndarray, every: np.ndarray, *, units: int) -> tuple[float, float]:
    """A rate and its delete-one jackknife error, from the tallies by unit of pairs that go with so many units each."""
    hits, count = int(reached.sum()) // units, int(every.sum()) // units
    rate = hits / max(count, 1)
    left = count - every[every > 0]
    without = np.divide(hits - reached[every > 0], left, out=np.full(len(left), rate), where=left > 0)
    spread = float(((without - without.mean()) ** 2).mean()) if len(left) else 0.0
    return rate, math.sqrt(max(len(left) - 1, 0) * spread)


def _accepted(rate: float, count: int) -> int:
    """The most of `count` pairs that are a share of at most `rate`; never all of them."""
    return min(accepted_pairs(rate, count), count - 1)


def _least_rate(count: int) -> float:
    """1 / `count` (above 1), rounded up to one digit: less could not be measured on so many pairs."""
    scale = 10 ** len(str(count - 1))
    return -(-scale // count) / scale


def _keys(scores: np.ndarray) -> np.ndarray:
    """float32 scores as uint32 of the same order."""
    bits = (scores + np.float32(0)).view(np.uint32)  # adding 0 makes -0 equal to 0
    return bits ^ np.where(bits >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))


def _logit_interval(rate: float, half_width: float) -> tuple[float, float]:
    """rate +- half_width, as an interval of the logit; degenerate rates have no width."""
    if not 0 < rate < 1:
        return rate, rate
    logit, half = math.log(rate / (1 - rate)), half_width / (rate * (1 - rate))
    return logistic(logit - half), logistic(logit + half)
