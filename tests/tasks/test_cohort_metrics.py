"""Mean and standard deviation of measured values; counts are no such values."""

from __future__ import annotations

import pytest

from reid_dml.tasks.cohort_metrics import in_common, mean_and_sd, with_mean_and_sd


def metrics(value, queries=7, **more):
    return {"single_query": {"mAP": value, "cmc": [value, 1.0], "num_queries": queries, **more}}


def test_counts_that_agree_stay_and_have_no_deviation():
    found = with_mean_and_sd([metrics(0.5), metrics(0.7)])
    assert found["mean"] == {
        "single_query": {"mAP": pytest.approx(0.6), "cmc": [pytest.approx(0.6), 1], "num_queries": 7}
    }
    assert type(found["mean"]["single_query"]["num_queries"]) is int
    sd = pytest.approx(0.02**0.5)
    assert found["sd"] == {"single_query": {"mAP": sd, "cmc": [sd, 0]}}
    assert with_mean_and_sd([metrics(0.5)]) == {"networks": [metrics(0.5)]}


def test_counts_of_different_data_are_averaged():
    mean, sd = mean_and_sd([metrics(0.5, 7), metrics(0.5, 10)])
    assert mean["single_query"]["num_queries"] == 8.5
    assert "num_queries" not in sd["single_query"]


def test_words_are_kept_and_must_agree():
    mean, sd = mean_and_sd([metrics(0.5, unmatched="zero"), metrics(0.5, unmatched="zero")])
    assert mean["single_query"]["unmatched"] == "zero"
    assert "unmatched" not in sd["single_query"]
    with pytest.raises(ValueError, match="no mean of zero, skip"):
        mean_and_sd([metrics(0.5, unmatched="zero"), metrics(0.5, unmatched="skip")])


def test_metrics_of_different_layouts_are_refused():
    for one, other in (({}, metrics(0.5)), (metrics(0.5), {})):
        with pytest.raises(ValueError, match="different layouts"):
            mean_and_sd([one, other])


def test_what_an_older_record_lacks_is_left_out():
    old, new = {"networks": [metrics(0.5)]}, {"networks": [metrics(0.7, mINP=0.2)], "ensemble": metrics(0.8)}
    assert in_common([old, new]) == [old, {"networks": [metrics(0.7)]}]
    assert in_common([new, new]) == [new, new]


def test_a_measure_that_one_network_lacks_has_no_mean():
    found = with_mean_and_sd([metrics(0.5, mINP=0.1), metrics(0.7)])
    assert found["networks"][0]["single_query"]["mINP"] == 0.1
    assert found["mean"] == with_mean_and_sd([metrics(0.5), metrics(0.7)])["mean"]
