"""A measure of somebody's that fails: its number is left out and said, the others stand as they are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from reid_dml.classification.measures import MEASURES as OF_IMAGES
from reid_dml.classification.measures import register_measure as register_of_images
from reid_dml.classification.metrics import classification_metrics
from reid_dml.classification.statistics import SampleStatistics
from reid_dml.cohort_metrics import with_mean_and_sd
from reid_dml.features import FeatureSet
from reid_dml.ranking.measures import MEASURES, register_measure
from reid_dml.ranking.metrics import evaluate_rankings
from reid_dml.reporting.retrieval_table import RETRIEVAL


def raising(*_):
    raise IndexError("nothing there")


@pytest.fixture
def sides(rng):
    persons = rng.integers(1, 4, 30)
    images = FeatureSet(rng.normal(size=(30, 4)).astype(np.float32), persons, np.arange(30), np.arange(30))
    return images.select(np.arange(10)), images.select(np.arange(10, 30))


@pytest.mark.parametrize(
    ("of_queries", "words"),
    [
        (lambda matches: matches.precisions, r"gives an array of shape \(\d+,\), expected \(10,\)"),
        (lambda matches: matches.precisions.mean(), r"gives an array of shape \(\), expected \(10,\)"),
        (lambda matches: np.where(matches.lengths > 0, np.nan, 1), "10 of 10 values are NaN or infinite"),
        (lambda matches: ["much"] * len(matches.lengths), "gives <U4, not numbers"),
        (lambda matches: None, "gives object, not numbers"),
        (raising, r"IndexError: nothing there \(.*test_measured\.py, line \d+\)"),
    ],
)
def test_of_rankings(sides, monkeypatch, of_queries, words):
    expected = evaluate_rankings(*sides).as_dict()
    monkeypatch.setattr(MEASURES, "_entries", dict(MEASURES.entries()))
    register_measure("mine")(of_queries)
    with pytest.warns(UserWarning, match=f"ranking metric 'mine': {words}.*; it is left out of the metrics"):
        found = evaluate_rankings(*sides).as_dict()
    assert found == expected
    rows = RETRIEVAL.rows(with_mean_and_sd({index: {"single_query": found} for index in (0, 1)}), ["a", "b"])
    assert len({len(row) for row in rows}) == 1


@pytest.mark.parametrize(
    ("of_samples", "words"),
    [
        (lambda samples: samples.loss, r"gives an array of shape \(2,\), expected one number"),
        (lambda samples: float("nan"), "1 of 1 values are NaN or infinite"),
        (raising, "IndexError: nothing there"),
    ],
)
def test_of_classes(monkeypatch, of_samples, words):
    samples = SampleStatistics(*np.array([[0, 1], [0.5, 0.5], [0.1, 0.1], [0.2, 0.4]]))
    expected = classification_metrics(samples)
    monkeypatch.setattr(OF_IMAGES, "_entries", dict(OF_IMAGES.entries()))
    register_of_images("mine")(of_samples)
    with pytest.warns(UserWarning, match=f"classification metric 'mine': {words}"):
        assert classification_metrics(samples) == expected


def test_an_infinite_loss_costs_the_loss_only():
    samples = SampleStatistics(*np.array([[0, 1], [0.5, 0.5], [0.1, 0.1], [0.2, np.inf]]))
    with pytest.warns(UserWarning, match="classification metric 'loss'"):
        found = classification_metrics(samples)
    assert found["top1"] == 0.5
    assert json.dumps(found, allow_nan=False)
    assert "loss" not in found
