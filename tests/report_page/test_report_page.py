"""The report page: self-contained, with every part and the right frames."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from reid_dml.analysis.curves import cmc_curves, training_curves
from reid_dml.analysis.ranked_lists import choose_lists, worst_lists
from reid_dml.analysis.score_histogram import similarity_histogram
from reid_dml.features import FeatureSet
from reid_dml.ranking.metrics import average_precisions
from reid_dml.report_page.page import Control, write_report
from reid_dml.reporting.data_names import data_of
from reid_dml.reporting.figures import draw_lines
from reid_dml.reporting.retrieval_table import RETRIEVAL
from reid_dml.reporting.tables import ReferenceRow


def test_the_page_is_whole_and_needs_nothing_from_outside(tiny_run):
    page = (tiny_run / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert page.count("<svg") == 8  # five training curves, two CMC curves, the similarities
    assert page.count('<figure class="query">') == 8 + 5  # the tiny data set has eight queries, all drawn; the worst
    assert "8 queries, spread evenly over those" in page
    assert "The 5 queries of least average precision" in page
    header = re.findall(r"<th>(.*?)</th>", page)
    assert header[1:3] == ["mAP", "rank&#8209;1"]
    cells = re.findall(r'<td data-column="(.*?)">', page)
    assert len(cells) == 4 * (len(header) - 1)  # every cell says its column, for narrow pages
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


def test_the_worst_queries_are_those_of_least_average_precision(rng):
    # Person p of camera 1 looks for person p of camera 2 on a line; query 2 has two wrong images nearer than its own.
    gallery = FeatureSet(
        np.array([[1, 0], [0.9, 0.5], [0, 1]], np.float32), np.array([1, 2, 3]), np.full(3, 2), ["g1", "g2", "g3"]
    )
    query = FeatureSet(
        np.array([[1, 0], [0.6, 0.6], [1, 0.02], [1, 1]], np.float32),
        np.array([1, 2, 3, 9]), np.full(4, 1), ["q1", "q2", "q3", "q9"],
    )  # fmt: skip
    np.testing.assert_allclose(average_precisions(query, gallery), [1, 1, 1 / 3, np.nan])
    assert [entry.query.path for entry in worst_lists(query, gallery, count=2)] == ["q3", "q1"]
    assert len(worst_lists(query, gallery)) == 3


def test_similarities_of_pairs_that_count():
    gallery = FeatureSet(np.eye(2, dtype=np.float32), np.array([1, 2]), np.array([2, 2]), ["a", "b"])
    query = FeatureSet(np.array([[1, 0], [1, 0]], np.float32), np.array([1, 2]), np.array([1, 2]), ["c", "d"])
    curves = similarity_histogram(query, gallery)  # d and b are of one camera and do not count
    assert curves["same person"][1][-1] == 1
    assert (curves["different persons"][1][0], curves["different persons"][1][-1]) == (0.5, 0.5)
    assert list(similarity_histogram(query.select(np.array([0])), gallery.select(np.array([0])))) == ["same person"]


def test_a_curve_of_one_point_is_seen():
    def drawn(count):
        curve = [float(step) for step in range(count)], [1.0] * count
        return draw_lines({"a": curve}, title="t", x_label="x", y_label="y")

    assert "<g clip-path=" in drawn(1)  # the group of markers
    assert "<g clip-path=" not in drawn(50)


def test_the_control_run_is_shown_and_linked(tiny_run, make_config, command, tiny_config, tmp_path):
    page = tmp_path / "pages" / "report.html"
    test = ("test_net", "--config-file", tiny_config, "MODEL.WEIGHTS", tiny_run)
    shown = command(*test, "--report", page, "CONTROL", tiny_run)
    assert shown.code == 0, shown.err
    text = page.read_text()
    (link,) = re.findall(r'<a href="(.*?)">', text)
    assert (page.parent / unquote(link)).resolve() == (tiny_run / "report.html").resolve()
    mean = json.loads((tiny_run / "result.json").read_text())["metrics"]["mean"]
    (row,) = re.findall(r'<tr class="control">(.*?)</tr>', text)
    assert f'data-column="mAP">{100 * mean["single_query"]["mAP"]:.2f}<' in row
    assert (
        "the record of the control run not found; set CONTROL to the folder of a finished run"
        in command(*test, "--report", page, "CONTROL", tmp_path).error
    )
    record = json.loads((tiny_run / "result.json").read_text())
    for change, said in (
        ({"task": "classification"}, f"{tmp_path}: a run of classification, this is one of retrieval; set CONTROL to"),
        ({"metrics": {}}, f"{tmp_path}: a run that had nothing to test on; set CONTROL to"),
        ({"networks": None}, f"{tmp_path / 'result.json'}: not a run record"),
    ):
        (tmp_path / "result.json").write_text(json.dumps(record | change))
        assert said in command(*test, "--report", page, "CONTROL", tmp_path).error


def test_published_rows_keep_their_place_behind_the_control():
    record = {"experiment": "e", "networks": ["n"], "dataset": "d", "device": "cpu", "versions": {}}
    found = {"single_query": {"mAP": 0.5, "cmc": [0.25] * 50, "num_unmatched": 0}}
    control = Control(record | {"metrics": {"networks": [found]}}, "c/report.html")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.html"
        write_report(path, record | {"metrics": {"networks": [found]}}, RETRIEVAL, [],
                     [ReferenceRow("a <long> label " * 9, {"mAP": 7.0})], control)  # fmt: skip
        page = path.read_text()
    assert list(re.findall(r"<tr(?: class=\"(\w+)\")?><td>", page)) == ["", "control", "published"]
    assert "a &lt;long&gt; label" in page


def test_runs_of_one_data_set_read_or_trained_otherwise_are_named_apart():
    record = {"dataset": "prcc", "protocol": {"clothes": "same"}}
    assert data_of(record) == "prcc (clothes same)"
    assert data_of({"dataset": "prcc"}) == "prcc"
    assert data_of({"dataset": "market1501", "trained_on": "msmt17 + prcc"}) == "market1501, trained on msmt17 + prcc"
