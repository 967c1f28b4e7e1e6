"""Thresholds for a wanted false-accept rate: equal to the definition, pair by pair."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from reid_dml.errors import UserError
from reid_dml.features import FeatureSet
from reid_dml.ranking import calibration
from reid_dml.ranking.calibration import calibrate
from reid_dml.ranking.thresholds import Threshold


def labelled(rng, count, persons=6, width=3, low=-1, outfits=0):
    return FeatureSet(
        rng.integers(-3, 4, (count, width)).astype(np.float32),
        rng.integers(low, persons, count),
        rng.integers(-1, 3, count),
        [f"{row}.jpg" for row in range(count)],
        clothes=rng.integers(0, outfits + 1, count) if outfits else 0,
    )


def judged_pairs(left, right):
    """(distance, same person, the one or two units) of every judged pair, from the definition."""
    pairs = itertools.product(range(len(left)), range(len(right)))
    for i, j in pairs if right is not left else itertools.combinations(range(len(left)), 2):
        a, b = int(left.person_ids[i]), int(right.person_ids[j])
        same_camera = left.camera_ids[i] == right.camera_ids[j] != -1
        same_clothes = left.clothes[i] == right.clothes[j] != 0
        itself = left.paths[i] == right.paths[j] and (left.features[i] == right.features[j]).all()
        if min(a, b) < 0 or (a == b and (a == 0 or same_camera or same_clothes or itself)):
            continue
        other = "left" if right is left else "right"
        units = {
            ("distractor", side, row) if person == 0 else person
            for person, side, row in ((a, "left", i), (b, other, j))
        }
        yield math.dist(left.features[i], right.features[j]), a == b, units


def jackknife(pairs, accepted):
    """Rate and standard error, leaving out one unit at a time."""
    units = set().union(*(unit for _, unit in pairs))
    rates = []
    for unit in units:
        kept = [distance for distance, own in pairs if unit not in own]
        rates.append(np.mean([accepted(d) for d in kept]) if kept else np.mean([accepted(d) for d, _ in pairs]))
    n = len(rates)
    return np.mean([accepted(d) for d, _ in pairs]), math.sqrt((n - 1) / n * ((rates - np.mean(rates)) ** 2).sum())


def check_against_the_definition(left, gallery, wanted):
    """Calibrate, and compare everything that is found with its definition, pair by pair."""
    pairs = list(judged_pairs(left, left if gallery is None else gallery))
    different = [(d, units) for d, same, units in pairs if not same]
    same = [(d, units) for d, same, units in pairs if same]
    found = calibrate(left, gallery, false_accept_rate=wanted, metric="euclidean")
    assert (found.different_pairs, found.same_pairs) == (len(different), len(same))
    assert found.false_accept_rate == pytest.approx(np.mean([d <= found.threshold for d, _ in different]), abs=1e-12)
    assert found.true_accept_rate == pytest.approx(np.mean([d <= found.threshold for d, _ in same]), abs=1e-12)
    assert found.false_accept_rate <= wanted
    # The next distance that occurs would be too many.
    beyond = min((d for d, _ in different if d > found.threshold), default=None)
    assert beyond is None or np.mean([d <= beyond for d, _ in different]) > wanted
    rate, error = jackknife(different, lambda d: d <= found.threshold)
    if rate:
        with np.errstate(over="ignore"):
            low, high = rate * np.exp([-1.959964 * error / rate, 1.959964 * error / rate])
        assert found.false_accept_rate_interval == pytest.approx((low, min(high, 1)), rel=1e-6)
    rate, error = jackknife(same, lambda d: d <= found.threshold)
    if 0 < rate < 1:
        half = 1.959964 * error / (rate * (1 - rate))
        assert found.true_accept_rate_interval == pytest.approx(expit(logit(rate) + half * np.array([-1, 1])), rel=1e-6)
    assert found.threshold_interval[0] <= found.threshold <= found.threshold_interval[1]
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(8, 25),
    st.integers(2, 25),
    st.booleans(),
    st.sampled_from([0.03, 0.2, 0.6]),
    st.sampled_from([0, 2]),
)
def test_it_is_the_definition(seed, left_count, right_count, alone, wanted, outfits):
    rng = np.random.default_rng(seed)
    left = labelled(rng, left_count, outfits=outfits)
    right = left if alone else labelled(rng, right_count, outfits=outfits)
    pairs = list(judged_pairs(left, right))
    different = sum(not same for _, same, _ in pairs)
    if math.floor(wanted * different) == 0 or different == len(pairs):
        with pytest.raises(UserError):
            calibrate(left, None if alone else right, false_accept_rate=wanted, metric="euclidean")
        return
    check_against_the_definition(left, None if alone else right, wanted)


@pytest.mark.parametrize(
    ("people", "cameras", "wanted", "rates"),
    [
        ([1] * 400 + [2, 3], [0, 1] * 200 + [0, 0], 1 / 800, (1 / 801, 0)),
        ([1] * 400 + [2, 2, 3], [0, 1] * 201 + [0], 2 / 1200, (2 / 1202, 1 / 40_001)),
    ],
)
def test_a_person_with_nearly_all_images_leaves_rates_that_are_hardly_known(people, cameras, wanted, rates):
    # Only images of the others coincide: without the first person every pair is accepted, and the standard error is so
    # many times the rate that the exponential of their ratio overflows.
    people, cameras = np.array(people), np.array(cameras)
    features = np.where(people == 1, 2 * cameras, 1)[:, None].astype(np.float32)
    images = FeatureSet(features, people, cameras, np.arange(len(people)).astype(str))
    found = check_against_the_definition(images, None, wanted)
    assert (found.false_accept_rate, found.true_accept_rate) == rates
    assert found.false_accept_rate_interval == pytest.approx((0, 1))
    assert found.true_accept_rate_interval == pytest.approx((0, 1) if rates[1] else (0, 0))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_blocks_do_not_matter(rng, monkeypatch, metric):
    query, gallery = labelled(rng, 90, 20, low=1), labelled(rng, 150, 20)
    query, gallery = (side.select(side.features.any(1)) for side in (query, gallery))
    for other in (None, gallery):
        whole = calibrate(query, other, false_accept_rate=0.05, metric=metric)
        monkeypatch.setattr(calibration, "_BLOCK", 700)
        assert calibrate(query, other, false_accept_rate=0.05, metric=metric) == whole
        monkeypatch.undo()


def test_the_interval_covers_the_true_rate(rng):
    # Persons as clusters on a line: of 60 calibrations, the rate of the threshold on new persons lies inside for most.
    def people(count):
        centres, spread = rng.normal(size=(count, 4)), rng.normal(size=(count, 4, 4))
        features = (centres[:, None] + 0.4 * spread).reshape(-1, 4).astype(np.float32)
        ids = np.repeat(np.arange(1, count + 1), 4)
        return FeatureSet(features, ids, np.tile(np.arange(4), count), ids.astype(str))

    many = people(1500)
    distances = np.sqrt(((many.features[::7, None] - many.features[None, 1::7]) ** 2).sum(2))
    other = many.person_ids[::7, None] != many.person_ids[None, 1::7]
    inside = 0
    for _ in range(60):
        found = calibrate(people(60), false_accept_rate=0.02, metric="euclidean")
        truth = (distances[other] <= found.threshold).mean()
        inside += found.false_accept_rate_interval[0] <= truth <= found.false_accept_rate_interval[1]
    assert inside >= 52


def test_a_rate_that_floating_point_makes_a_little_less_is_met_exactly():
    # 10 x 10 pairs of different persons, all at other distances; 0.29 * 100 is 28.999999999999996.
    left = FeatureSet(np.arange(10, dtype=np.float32)[:, None], np.full(10, 1), np.full(10, 0), ["l"] * 10)
    places = np.array([0, *range(20, 120, 10)], np.float32)[:, None]
    right = FeatureSet(places, np.array([1] + [2] * 10), np.full(11, 1), ["r"] * 11)
    found = calibrate(left, right, false_accept_rate=0.29, metric="euclidean")
    assert (found.different_pairs, found.false_accept_rate) == (100, 0.29)
    with pytest.raises(UserError, match="no pairs of different persons"):
        calibrate(left, left, false_accept_rate=0.29, metric="euclidean")
    # A rate of nearly 1 refuses one pair at least.
    assert calibrate(left, right, false_accept_rate=1 - 1e-12, metric="euclidean").false_accept_rate == 0.99


def test_any_confidence_below_1_has_an_interval(rng):
    features = labelled(rng, 60, low=1)
    wide, wider = (
        calibrate(features, false_accept_rate=0.2, metric="euclidean", confidence=confidence)
        for confidence in (0.999, math.nextafter(1, 0))
    )
    assert 0 < wider.false_accept_rate_interval[0] < wide.false_accept_rate_interval[0] < wide.false_accept_rate


def test_a_threshold_above_every_pair_accepts_none():
    # All pairs of different persons coincide: whatever is accepted, all are.
    features = FeatureSet(np.ones((12, 2), np.float32), np.repeat([1, 2, 3], 4), np.tile([0, 1], 6), ["x"] * 12)
    found = calibrate(features, false_accept_rate=0.5, metric="euclidean")
    assert (found.false_accept_rate, found.true_accept_rate) == (0, 0)
    assert found.threshold == -1


def test_what_cannot_be_calibrated_is_refused(rng):
    features = replace(labelled(rng, 40, low=1), features=rng.normal(size=(40, 3)).astype(np.float32))
    cases = [
        (replace(features, person_ids=np.ones(40, int)), "no pairs of different persons"),
        (replace(features, camera_ids=np.ones(40, int)), "no pairs of one person under different cameras"),
        (features.with_features(np.full((40, 3), 1e30, np.float32)), "features: 40 of 40 features are too large"),
        (features.with_features(np.full((40, 3), np.nan, np.float32)), "NaN or infinite, first rows 0"),
        (replace(features, person_ids=np.full(40, -2)), "features without labels"),
    ]
    for wrong, words in cases:
        with pytest.raises(UserError, match=words):
            calibrate(wrong, false_accept_rate=0.1, metric="euclidean")
    for other, words in (
        (features.with_features(features.features[:, :2]), "b.npz: features are 2-d, those of a.npz are 3-d"),
        (replace(features, model="other"), "b.npz: features of model other, but a.npz is of model mine"),
    ):
        with pytest.raises(UserError, match=words):
            calibrate(replace(features, model="mine"), other, names=("a.npz", "b.npz"))
    with pytest.raises(UserError, match=r"1e-06 cannot be measured on \d+ pairs"):
        calibrate(features, false_accept_rate=1e-6)
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibrate(features, false_accept_rate=0)


@pytest.mark.parametrize("counts", [(2, 1), (11, 1), (9, 11), (10, 7), (20, 5), (25, 40)])
def test_the_rate_that_is_recommended_can_be_measured(rng, counts):
    # An image of person 1 under another camera on the right, so that there is a pair of one person.
    people = np.repeat([1, 2], counts)
    right = FeatureSet(rng.normal(size=(sum(counts), 3)).astype(np.float32), people, people, ["r"] * len(people))
    left = right.select(people == 1)
    left = replace(left, camera_ids=np.full(len(left), 9))
    with pytest.raises(UserError, match="cannot be measured") as refusal:
        calibrate(left, right, false_accept_rate=1e-6)
    rate = re.search(r"ask for (\S+) or more, or give more persons", str(refusal.value))[1]
    assert calibrate(left, right, false_accept_rate=float(rate)).different_pairs == math.prod(counts)
    assert len(rate.replace("0.", "").lstrip("0")) == 1


def test_one_pair_of_different_persons_recommends_no_rate():
    features = FeatureSet(np.eye(2, 3, dtype=np.float32), np.array([1, 2]), np.array([1, 2]), ["a", "b"])
    with pytest.raises(UserError, match=r"measured on 1 pairs of different persons: give more persons$"):
        calibrate(features, false_accept_rate=0.5)


def test_a_sample_judges_each_pair_of_its_images_once_and_its_interval_covers(rng, caplog):
    centres = rng.normal(size=(80, 5))
    features = FeatureSet(
        (centres[:, None] + 0.5 * rng.normal(size=(80, 4, 5))).reshape(-1, 5).astype(np.float32),
        np.repeat(np.arange(1, 81), 4), np.tile(np.arange(4), 80), ["x"] * 320,
    )  # fmt: skip
    whole = calibrate(features, false_accept_rate=0.02)
    assert (whole.sampled_images, whole.different_pairs) == (0, 320 * 316 // 2)
    assert calibrate(features, false_accept_rate=0.02, sample=320) == whole
    part = calibrate(features, false_accept_rate=0.02, sample=40)
    # 40 rows of 316 others, less the pairs of two drawn images of different persons, which count once.
    drawn = features.person_ids[np.sort(np.random.default_rng(0).choice(320, 40, replace=False))]
    twice = (drawn[:, None] != drawn).sum() // 2
    assert (part.sampled_images, part.different_pairs) == (40, 40 * 316 - twice)
    assert part.threshold_interval[0] <= whole.threshold <= part.threshold_interval[1]
    assert part.true_accept_rate_interval[0] <= whole.true_accept_rate <= part.true_accept_rate_interval[1]
    assert calibrate(features, features, false_accept_rate=0.02, sample=40).different_pairs == 40 * 316


def test_a_long_calibration_says_how_long(rng, monkeypatch, caplog):
    times = iter(range(0, 10**6, 1000))
    monkeypatch.setattr(calibration.time, "monotonic", lambda: float(next(times)))
    monkeypatch.setattr(calibration, "_BLOCK", 700)
    with caplog.at_level("INFO", "reid_dml"):
        calibrate(labelled(rng, 60, low=1), false_accept_rate=0.2, metric="euclidean")
    (said,) = caplog.messages
    assert said.startswith("judging 1,800 pairs 4 times takes about ")
    assert "--sample N" in said


@pytest.mark.parametrize("rate", [0.001, 0.2, 0.3])
def test_the_promised_rate_holds_for_whoever_computes_tied_distances_otherwise(rng, rate):
    codes = rng.integers(0, 3, (400, 24)).astype(np.float32)  # many pairs of one distance
    features = FeatureSet(codes, np.repeat(np.arange(1, 101), 4), np.tile(range(4), 100), ["x"] * 400)
    found = calibrate(features, false_accept_rate=rate, metric="euclidean")
    first, second = np.triu_indices(400, 1)
    different = features.person_ids[first] != features.person_ids[second]
    distances = np.linalg.norm(codes[first[different]] - codes[second[different]], axis=1)
    accepted = Threshold(found.threshold, "euclidean").accepts(distances, "euclidean").mean()
    assert accepted == found.false_accept_rate <= rate


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_threshold_is_halfway_between_two_pairs(rng, metric):
    features = replace(labelled(rng, 40, low=1), features=rng.normal(size=(40, 3)).astype(np.float32))
    rows = features.features.astype(float)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) if metric == "cosine" else 1
    pairs = list(judged_pairs(*[replace(features, features=rows.astype(np.float32))] * 2))
    scores = np.array([1 - distance**2 / 2 if metric == "cosine" else -distance for distance, _, _ in pairs])
    for rate in (0.03, 0.1, 0.3):
        found = calibrate(features, false_accept_rate=rate, metric=metric)
        threshold = found.threshold if metric == "cosine" else -found.threshold
        refused, accepted = scores[scores < threshold].max(), scores[scores >= threshold].min()
        assert threshold == pytest.approx((refused + accepted) / 2, abs=1e-6)


def test_an_offset_that_all_features_share_does_not_move_the_threshold(rng):
    near = labelled(rng, 60, low=1)
    far = replace(near, features=near.features + np.float32([4e3, -2e3, 1e3]))
    found = [calibrate(side, false_accept_rate=0.1, metric="euclidean") for side in (near, far)]
    assert found[0].threshold == found[1].threshold
    assert found[0].true_accept_rate == found[1].true_accept_rate


@pytest.mark.parametrize(("option", "value"), [("sample", -3), ("sample", 2.5), ("false_accept_rate", "x")])
def test_options_of_another_kind_are_refused(rng, option, value):
    with pytest.raises(ValueError, match=f"{option}: must be a"):
        calibrate(labelled(rng, 40, low=1), **{option: value})
