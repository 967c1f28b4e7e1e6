"""The report page: self-contained, with every part and the right frames."""

from __future__ import annotations

import json
import re

import numpy as np

from reid_dml.analysis.curves import cmc_curves, training_curves
from reid_dml.analysis.ranked_lists import choose_lists
from reid_dml.features import FeatureSet


def test_the_page_is_whole_and_needs_nothing_from_outside(tiny_run):
    page = (tiny_run / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert page.count("<svg") == 7  # five training curves, two CMC curves
    assert page.count('<figure class="query">') == 8  # the tiny data set has eight queries
    assert page.count('<figure class="right">') >= 1
    assert page.count('<figure class="wrong">') >= 1
    record = json.loads((tiny_run / "result.json").read_text())
    assert f"{100 * record['metrics']['ensemble']['single_query']['mAP']:.2f}" in page


def test_curves_follow_the_log_and_the_metrics(tiny_run):
    lines = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text().splitlines()]
    curves = training_curves(lines, "loss")
    assert curves["network 1"] == ([2, 4, 6], [line["networks"][1]["loss"] for line in lines])
    assert training_curves(lines, "unheard-of") == {}
    metrics = json.loads((tiny_run / "result.json").read_text())["metrics"]
    assert list(cmc_curves(metrics)) == ["network 0", "network 1", "ensemble"]
    assert cmc_curves(metrics)["ensemble"][1] == metrics["ensemble"]["single_query"]["cmc"]
    assert cmc_curves({"networks": [{"single_query": {"cmc": [1.0]}}]}, "multi_query") == {}


def test_lists_are_spread_over_the_queries_that_have_a_person_to_find(rng):
    gallery = FeatureSet(
        rng.normal(size=(40, 3)).astype(np.float32),
        np.repeat([-1, 0, 1, 2], 10),
        np.tile([1, 2], 20),
        [f"g{i}" for i in range(40)],
    )
    query = FeatureSet(
        rng.normal(size=(30, 3)).astype(np.float32),
        np.tile([1, 2, 9], 10),
        np.full(30, 1),
        [f"q{i:02d}" for i in range(30)],
    )
    lists = choose_lists(query, gallery, count=4, length=5)
    assert [entry.query.path for entry in lists] == ["q00", "q09", "q19", "q28"]
    for entry in lists:
        assert len(entry.images) == 5
        assert -1 not in [image.person_id for image in entry.images]
        assert (np.diff(entry.scores) <= 1e-6).all()
        assert entry.correct == [image.person_id == entry.query.person_id for image in entry.images]
