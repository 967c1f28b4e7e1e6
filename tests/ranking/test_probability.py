"""The probability of one person: the fit finds a known line, stays finite, and follows the prior."""

from __future__ import annotations

import numpy as np
import pytest

from reid_dml.ranking.probability import SamePerson, count_scores, fit_probability


def test_the_fit_finds_the_ratio_of_two_normal_densities():
    # Equal variances: the log-likelihood ratio is exactly (m1 - m0) / v * x - (m1^2 - m0^2) / (2 v).
    x = np.linspace(-2, 2, 4001)
    m0, m1, v = 0.1, 0.5, 0.04
    same, different = (np.round(1e9 * np.exp(-((x - m) ** 2) / (2 * v))).astype(np.int64) for m in (m1, m0))
    fitted = fit_probability(x, same, 1000 * different)  # how many of each kind there are does not matter
    assert fitted.slope == pytest.approx((m1 - m0) / v, rel=1e-3)
    assert fitted.intercept == pytest.approx(-(m1**2 - m0**2) / (2 * v), rel=1e-3)
    assert fitted.probability((m0 + m1) / 2) == pytest.approx(0.5, abs=1e-3)


def test_pairs_that_a_threshold_separates_have_a_fit():
    x = np.array([0.1, 0.2, 0.8, 0.9, np.nan])
    fitted = fit_probability(x, np.array([0, 0, 5, 5, 0]), np.array([50, 50, 0, 0, 0]))
    assert np.isfinite([fitted.slope, fitted.intercept]).all()
    assert fitted.probability(0.9) > 0.9
    assert fitted.probability(0.1) < 0.1
    falling = fit_probability(x, np.array([5, 5, 0, 0, 0]), np.array([0, 0, 50, 50, 0]))  # distances
    assert falling.slope < 0


def test_bayes_rule():
    line = SamePerson(10.0, -5.0)
    assert line.probability(0.5) == pytest.approx(0.5)
    assert line.probability(0.5, prior=0.2) == pytest.approx(0.2)
    odds = np.exp(10 * 0.7 - 5) * 0.01 / 0.99
    assert line.probability(0.7, prior=0.01) == pytest.approx(odds / (1 + odds))
    assert SamePerson(1e6, 0.0).probability(-1) == 0


def test_counts_keep_every_pair():
    x = np.array([0.0, 0.5, 1.0, np.nan])
    counts = count_scores(x, np.array([1, 2, 3, 0]), np.array([4, 5, 6, 0]))
    assert (sum(counts.same), sum(counts.different)) == (6, 15)
    assert (counts.edges[0], counts.edges[-1]) == (0, 1)
    assert len(counts.edges) == len(counts.same) + 1
