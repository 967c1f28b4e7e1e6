"""The results page is what the committed records give, and the records hold nothing of a machine."""

from __future__ import annotations

import json
from pathlib import Path

from reid_dml.paper.published import TABLE_3
from reid_dml.paper.results_page import full_experiments, read_records, results_page
from reid_dml.paper.search_page import read_benchmarks, search_page
from tests.conftest import REPOSITORY


def test_the_page_is_up_to_date():
    page = results_page(read_records(REPOSITORY / "results"), full_experiments(REPOSITORY / "configs"))
    assert (REPOSITORY / "docs" / "results.md").read_text() == page, "run make results"


def test_the_table_of_index_types_is_up_to_date():
    page, records = (
        (REPOSITORY / "docs" / "search.md").read_text(),
        read_benchmarks(REPOSITORY / "results" / "benchmarks"),
    )
    assert search_page(page, records) == page, "run make results"
    for record in records:
        assert record["types"][0]["recall_at_10"] == 1  # Flat is exact
        for entry in record["types"]:
            assert f"| `{entry['type']}` |" in page
            assert f"| {entry['recall_at_1']:.3f} | {entry['recall_at_10']:.3f} |" in page


def test_every_measured_number_of_the_page_comes_from_a_record(tiny_run):
    record = json.loads((tiny_run / "result.json").read_text())
    page = results_page([record])
    for found in (*record["metrics"]["networks"], record["metrics"]["ensemble"]):
        assert f"{100 * found['single_query']['mAP']:.2f} | {100 * found['single_query']['mAP_trapezoid']:.2f}" in page
    assert record["device"] in page
    assert f"seed {record['seed']}" in page


def test_records_and_the_page_name_no_path():
    for path in (
        *Path(REPOSITORY / "results").rglob("*.json"),
        REPOSITORY / "docs" / "results.md",
        REPOSITORY / "docs" / "search.md",
    ):
        assert "/root" not in path.read_text()
        assert "/home" not in path.read_text()
        assert str(REPOSITORY) not in path.read_text()


def test_published_rows_are_as_printed():
    single = {name: row.single for name, row in TABLE_3.items()}
    assert single["cvpr/mobilenet_dml_imagenet"] == (70.51, 89.34)
    assert single["v1/mobilenet_scratch"] == (46.07, 72.18)
    assert TABLE_3["cvpr/mobilenet_scratch"].multi == (60.16, 84.06)
