"""Classification metrics against their definitions, image by image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from reid_dml.classification.calibration import calibration_bins, expected_calibration_error
from reid_dml.classification.metrics import classification_metrics
from reid_dml.classification.statistics import SampleStatistics, sample_statistics

LOGITS = arrays.arrays(np.float32, (7, 6), elements=st.integers(-4, 4).map(float))  # with many ties


def metrics_of(logits, labels):
    return classification_metrics(
        SampleStatistics.of(sample_statistics(torch.as_tensor(logits), torch.as_tensor(labels)).numpy())
    )


@settings(deadline=None)
@given(LOGITS, arrays.arrays(np.int64, 7, elements=st.integers(0, 5)))
def test_every_metric_matches_a_loop_over_the_images(logits, labels):
    top1, top5, entropy, loss = [], [], [], []
    in_bins: dict[int, list[tuple[float, bool]]] = {}
    for row, label in zip(logits.astype(np.float64), labels, strict=True):
        probabilities = np.exp(row) / np.exp(row).sum()
        ahead = sum(value >= row[label] for place, value in enumerate(row) if place != label)
        top1.append(ahead < 1)
        top5.append(ahead < 5)
        entropy.append(-sum(p * math.log(p) for p in probabilities))
        loss.append(-math.log(probabilities[label]))
        confidence = probabilities.max()
        place = next(b for b in range(15) if np.float32(confidence) <= (b + 1) / 15 or b == 14)
        in_bins.setdefault(place, []).append((confidence, ahead < 1))
    ece = sum(
        len(found) / 7 * abs(np.mean([hit for _, hit in found]) - np.mean([c for c, _ in found]))
        for found in in_bins.values()
    )
    expected = {"top1": np.mean(top1), "top5": np.mean(top5), "ece": ece}
    expected |= {"entropy": np.mean(entropy), "loss": np.mean(loss)}
    assert metrics_of(logits, labels) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_certain_and_uniform_posteriors():
    certain = metrics_of(torch.eye(10) * 1000, torch.arange(10))
    assert certain == pytest.approx({"top1": 1, "top5": 1, "ece": 0, "entropy": 0, "loss": 0})
    # Ties count as wrong: a constant posterior is right nowhere, however the classes are ordered.
    uniform = metrics_of(torch.zeros(10, 10), torch.arange(10))
    expected = {"top1": 0, "top5": 0, "ece": 0.1, "entropy": math.log(10), "loss": math.log(10)}
    assert uniform == pytest.approx(expected)


def test_calibration_of_a_hand_computed_case():
    confidence = np.array([0.2, 0.2, 0.95, 1.0])
    correct = np.array([False, True, True, False])
    bins = calibration_bins(confidence, correct)
    assert bins.counts.tolist() == [0, 0, 2, *[0] * 11, 2]  # 0.2 = 3/15 closes the third bin
    assert expected_calibration_error(bins) == pytest.approx(0.5 * (0.5 - 0.2) + 0.5 * (0.975 - 0.5))


def test_half_of_a_thousand_classes_do_not_blur_the_entropy():
    logits = torch.zeros(2, 1000)
    logits[:, 500:] = -1e4
    assert metrics_of(logits, torch.tensor([0, 1]))["entropy"] == pytest.approx(math.log(500), rel=1e-6)


def test_logits_that_are_no_numbers_are_no_hits():
    ranks = sample_statistics(torch.full((3, 4), math.nan), torch.arange(3))[:, 0]
    assert (ranks > 0).all()


def test_no_images_have_no_metrics():
    with pytest.raises(ValueError, match="at least one image"):
        classification_metrics(SampleStatistics.of(np.empty((0, 4))))
