"""Mean and standard deviation of measured values, which counts are not; ensembles, and some networks of a cohort."""

from __future__ import annotations

import pytest

from reid_dml.cohort_metrics import ensembles, in_common, mean_and_sd, metrics_by_label, of_members, with_mean_and_sd


def metrics(value, queries=7, **more):
    return {"single_query": {"mAP": value, "cmc": [value, 1.0], "num_queries": queries, **more}}


def test_counts_that_agree_stay_and_have_no_deviation():
    found = with_mean_and_sd(dict(enumerate([metrics(0.5), metrics(0.7)])))
    assert found["mean"] == {
        "single_query": {"mAP": pytest.approx(0.6), "cmc": [pytest.approx(0.6), 1], "num_queries": 7}
    }
    assert type(found["mean"]["single_query"]["num_queries"]) is int
    sd = pytest.approx(0.02**0.5)
    assert found["sd"] == {"single_query": {"mAP": sd, "cmc": [sd, 0]}}
    assert with_mean_and_sd(dict(enumerate([metrics(0.5)]))) == {"networks": [metrics(0.5)]}


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
    found = with_mean_and_sd(dict(enumerate([metrics(0.5, mINP=0.1), metrics(0.7)])))
    assert found["networks"][0]["single_query"]["mINP"] == 0.1
    assert found["mean"] == with_mean_and_sd(dict(enumerate([metrics(0.5), metrics(0.7)])))["mean"]


def test_an_ensemble_of_the_first_networks_is_of_the_cohort_s_first():
    def measure(members):
        return list(members)

    assert ensembles([0, 1, 2, 3], [3, 2], measure) == {
        "ensembles": {"2": [0, 1], "3": [0, 1, 2]},
        "ensemble": [0, 1, 2, 3],
    }
    assert ensembles([0, 1, 3, 4], [2, 3], measure) == {"ensembles": {"2": [0, 1]}, "ensemble": [0, 1, 3, 4]}
    assert ensembles([1, 2, 3], [2], measure) == {"ensemble": [1, 2, 3]}
    assert ensembles([0, 1], [2], measure) == {"ensemble": [0, 1]}
    assert ensembles([0], [2], measure) == {}


def test_some_networks_of_a_cohort_have_their_own_numbers_only():
    whole = with_mean_and_sd({index: metrics(index / 10) for index in range(4)})
    whole |= {"ensembles": {"2": metrics(0.2), "3": metrics(0.3)}, "ensemble": metrics(0.4)}
    assert of_members(whole, [0, 1, 2, 3]) == whole
    pair = of_members(whole, [1, 0])
    assert pair == {**with_mean_and_sd({0: metrics(0.0), 1: metrics(0.1)}), "ensemble": metrics(0.2)}
    three = of_members(whole, [0, 1, 2])
    assert (three["ensembles"], three["ensemble"]) == ({"2": metrics(0.2)}, metrics(0.3))
    ends = of_members(whole, [3, 0])
    assert ends["indices"] == [0, 3]
    assert ends["mean"]["single_query"]["mAP"] == pytest.approx(0.15)
    assert "ensemble" not in ends
    assert of_members(ends, [3]) == {"networks": [metrics(0.3)], "indices": [3]}
    assert list(metrics_by_label(ends)) == ["network 0", "network 3"]
    assert list(metrics_by_label(three)) == [
        *("network 0", "network 1", "network 2", "ensemble of the first 2", "ensemble")
    ]


def test_lists_may_be_empty():
    assert with_mean_and_sd({0: {"curve": [], "mAP": 0.5}, 1: {"curve": [], "mAP": 0.7}})["mean"]["curve"] == []
