"""The results page is what the committed records give, and the records hold nothing of a machine."""

from __future__ import annotations

import copy
import json

import pytest

from benchmarks.index_types_table import index_types_table, read_benchmarks
from benchmarks.performance_page import performance_page, read_performance
from reid_dml.commands.results import networks_page, paper_section, read_runs, results_page
from reid_dml.errors import UserError
from reid_dml.paper.published import PUBLISHED, TABLE_3
from reid_dml.reporting.markdown import fill_marks
from reid_dml.reporting.networks_table import best_of_networks
from reid_dml.reporting.tables import as_printed
from tests.conftest import REPOSITORY

EMPTY = "<!-- runs: begin -->\n<!-- runs: end -->\n"


def test_the_page_is_up_to_date():
    path = REPOSITORY / "docs" / "results.md"
    page, results = path.read_text(), REPOSITORY / "results"
    shown, figures = paper_section(page, results, path.parent / "images" / "results", path)
    assert results_page(shown, read_runs(results)) == page, "run make results"
    assert all(file.read_text() == text for file, text in figures.items()), "run make results"


def test_what_is_written_by_hand_stays_and_a_page_without_marks_is_refused():
    page = "Before\n<!-- x: begin -->\nold\n<!-- x: end -->\nbehind"
    assert fill_marks(page, "x", "new\n", "page.md") == "Before\n<!-- x: begin -->\n\nnew\n\n<!-- x: end -->\nbehind"
    for broken in ("", page.replace("end", "ende"), page + page):
        with pytest.raises(UserError, match=r"page\.md: lacks the lines <!-- x: begin --> and <!-- x: end -->"):
            fill_marks(broken, "x", "new", "page.md")


def test_the_table_of_index_types_is_up_to_date():
    page, records = (
        (REPOSITORY / "docs" / "search.md").read_text(),
        read_benchmarks(REPOSITORY / "results" / "benchmarks"),
    )
    assert fill_marks(page, "index types", index_types_table(records), "search.md") == page, "run make results"
    for record in records:
        assert record["types"][0]["recall_at_10"] == 1  # Flat is exact
        for entry in record["types"]:
            assert f"| `{entry['type']}` |" in page
            assert f"| {entry['recall_at_1']:.3f} | {entry['recall_at_10']:.3f} |" in page


def test_the_tables_of_networks_are_up_to_date():
    page = (REPOSITORY / "docs" / "networks.md").read_text()
    assert networks_page(page, REPOSITORY / "results") == page, "run make results"


def test_a_network_has_the_numbers_of_its_best_run():
    def run(experiment, dataset, *found):
        networks = [{"single_query": {"mAP": mAP, "cmc": [rank_1]}} for _, mAP, rank_1 in found]
        names = [name for name, _, _ in found]
        return {
            "experiment": experiment,
            "dataset": dataset,
            "steps": 1000,
            "networks": names,
            "metrics": {"networks": networks},
        }

    records = [
        run("first", "market1501", ("osnet_x1_0", 0.5, 0.7), ("mobilenet_v1", 0.4, 0.6)),
        run("second", "market1501", ("mobilenet_v1", 0.45, 0.55)),
        run("elsewhere", "msmt17", ("mobilenet_v1", 0.9, 0.9)),
        run("across", "market1501", ("mobilenet_v1", 0.8, 0.8)) | {"trained_on": "msmt17"},
    ]
    assert best_of_networks(records) == {
        "osnet_x1_0": ["50.00", "70.00", "`first`, 1,000 steps"],
        "mobilenet_v1": ["45.00", "55.00", "`second`, 1,000 steps"],
    }


def test_the_performance_page_is_up_to_date_and_holds_every_ratio():
    records = read_performance(REPOSITORY / "results" / "benchmarks")
    page = performance_page(records)
    assert (REPOSITORY / "docs" / "performance.md").read_text() == page, "run make results"
    ratios = [r["ratio"] for r in records if r["benchmark"] == "cohort"]
    ratios += [s["ratio"] for r in records if r["benchmark"] == "evaluation" for s in r["sizes"].values()]
    assert ratios
    for record in records:
        for found in record.get("cases", {}).values():
            ratios += [value["median"] if isinstance(value, dict) else value for value in found["ratios"].values()]
        if record["benchmark"] == "extraction":
            ratios += record["ratios"].values()
        for point in (point for points in record.get("groups", {}).values() for point in points):
            assert f" {point['steps_per_second']:.2f} " in page
    assert all(any(f" {ratio:.{digits}f}" in page for digits in (1, 2, 3)) for ratio in ratios)


def test_a_folder_without_records_empties_no_page(command, tmp_path):
    pages = [tmp_path / name for name in ("results.md", "performance.md")]
    for records in (tmp_path / "nothing", tmp_path):
        result = command("make_results", "--records", records, "--output", pages[0], "--performance-page", pages[1])
        assert f"{records}: holds no run records" in result.error
    (tmp_path / "training_cpu.json").write_text('{"bad": 1}')
    with pytest.raises(UserError, match=r"training_cpu\.json: not a benchmark's record"):
        read_performance(tmp_path)
    assert not any(page.exists() for page in pages)


def test_what_is_no_record_is_named_and_a_run_without_a_test_is_left_out(tiny_run, tmp_path):
    record = json.loads((tiny_run / "result.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(record))
    (tmp_path / "b.json").write_text(json.dumps(record | {"metrics": {}}))
    assert read_runs(tmp_path) == [record]
    of_a_set = {key: record[key] for key in ("experiment", "dataset", "networks", "device", "versions", "metrics")}
    contents = of_a_set, record | {"networks": ["osnet_x0_25"]}, record | {"metrics": {"a": 1}}
    for number, content in enumerate(contents):
        file = tmp_path / f"c{number}.json"
        file.write_text(json.dumps(content))
        with pytest.raises(UserError, match=rf"c{number}\.json: not a run record .*; remove it or copy"):
            read_runs(tmp_path)
        file.unlink()


def test_every_measured_number_of_the_page_comes_from_a_record(tiny_run):
    record = json.loads((tiny_run / "result.json").read_text())
    page = results_page(EMPTY, [record])
    for found in (*record["metrics"]["networks"], record["metrics"]["ensemble"]):
        assert f"{100 * found['single_query']['mAP']:.2f} | {100 * found['single_query']['mAP_trapezoid']:.2f}" in page
    assert record["device"] in page
    assert f"seed {record['seed']}" in page


def test_runs_of_several_seeds_are_one_row_with_mean_and_sd(tiny_run):
    one = json.loads((tiny_run / "result.json").read_text())
    other = copy.deepcopy(one) | {"seed": 7}
    for found in (one, other):
        found["metrics"]["ensemble"]["single_query"]["mAP"] = 0.50 if found is one else 0.53
    page = results_page(EMPTY, [one, other])
    assert f"| {one['experiment']}, {one['steps']} steps (n = 2) | network 0" in page
    assert "|  | ensemble | 51.50 ± 2.12 |" in page
    assert all(f"seed {seed};" in page for seed in (one["seed"], 7))
    with pytest.raises(UserError, match="two records of one seed"):
        results_page(EMPTY, [one, one])
    alone = other | {"networks": one["networks"][:1], "metrics": {"networks": one["metrics"]["networks"][:1]}}
    with pytest.raises(UserError, match=f"{one['experiment']}: records of .* and of mobilenet_v1_0.25; remove one"):
        results_page(EMPTY, [one, alone])


def test_why_something_was_not_run_may_differ_between_seeds(tiny_run):
    one = json.loads((tiny_run / "result.json").read_text())
    reasons = "switched off (TEST.MULTI_QUERY none)", "it needs the queries' cameras, which are not known"
    runs = [
        one | {"seed": seed, "metrics": one["metrics"] | {"not_run": {"multi_query": reason}}}
        for seed, reason in enumerate(reasons)
    ]
    assert "(n = 2)" in results_page(EMPTY, runs)


def test_the_best_run_of_a_data_set_may_be_of_one_network(tiny_run):
    several = json.loads((tiny_run / "result.json").read_text())
    number = copy.deepcopy(several["metrics"]["networks"][0])
    number["single_query"]["mAP"] = 0.9876
    alone = several | {"experiment": "alone", "networks": ["osnet_x0_25"], "metrics": {"networks": [number]}}
    for runs in ([alone], [several, alone], [alone, several]):
        (sentence,) = [line for line in results_page(EMPTY, runs).splitlines() if line.startswith("**mAP ")]
        assert sentence.startswith("**mAP 98.76 %")
        assert "(single query): the network of `alone`" in sentence


def test_records_and_the_page_name_no_path():
    for path in (
        *(path for path in (REPOSITORY / "results").rglob("*") if path.is_file()),
        *(REPOSITORY / "docs" / "images" / "results").iterdir(),
        REPOSITORY / "docs" / "results.md",
        REPOSITORY / "docs" / "search.md",
        REPOSITORY / "docs" / "performance.md",
    ):
        assert "/root" not in path.read_text()
        assert "/home" not in path.read_text()
        assert "/tmp" not in path.read_text()
        assert str(REPOSITORY) not in path.read_text()


def test_published_rows_are_as_printed():
    def cells(table, key):
        return [tuple(row.cells.values()) for row in table[key]]

    assert cells(TABLE_3, "cvpr/mobilenet_dml_imagenet") == [(70.51, 89.34, 78.95, 92.81)]
    assert cells(TABLE_3, "v1/mobilenet_scratch") == [(46.07, 72.18, 54.31, 79.81)]
    market = PUBLISHED["market1501"]
    assert cells(market, "v1/siamese_lstm") == [(35.30, 61.60)]
    assert cells(market, "cvpr/table4/inception_v1_mobilenet/independent") == [(63.91,), (50.15,)]
    assert cells(market, "cvpr/table4/mobilenet_mobilenet/dml") == [(55.28,), (54.13,)]
    assert cells(market, "v1/table4/mobilenet_mobilenet/distilled") == [(45.16,)]
    assert cells(market, "cvpr/table5/feature_l2") == [(51.01, 77.58)]
    assert list(market["cvpr/mobilenet_scratch"][0].cells) == [
        "mAP trapezoid", "rank-1", "multi mAP trapezoid", "multi rank-1"
    ]  # fmt: skip
    assert as_printed(1.7099) == "1.7099"
    assert as_printed(63.4) == "63.40"
    assert cells(PUBLISHED["cifar100"], "table2/cifar100/resnet32_resnet32/dml") == [(71.19,), (70.75,)]
    assert cells(PUBLISHED["cifar100"], "table2/cifar100/wrn_28_10_mobilenet/independent") == [(78.69,), (73.65,)]
    assert cells(PUBLISHED["cifar10"], "table2/cifar10/mobilenet_resnet32/dml") == [(94.24,), (93.32,)]
    assert cells(PUBLISHED["cifar100"], "table4/cifar100/wrn_28_10_resnet32/distilled") == [(69.48,)]


def test_the_record_of_a_few_gpu_minutes_makes_a_table(tmp_path):
    steps = {"steps_per_second": 612.34, "first_seconds": 21.0, "compiled": True, "graph": False, "memory_gb": 1.23}
    parts = {
        "cifar, compiled": steps,
        "tests": {"summary": "1 failed, 35 passed in 40 s", "failed": ["FAILED tests/test_gpu.py::test_x"]},
        "extraction": {"images_per_second": {"bare": 20_000.0, "files": 12_345.6}, "waiting": 0.1},
        "evaluation": {"seconds": 0.0123},
        "wide": {"missing": "stopped after 40 s"},
    }
    record = {
        "benchmark": "gpu",
        "device": "NVIDIA H200",
        "versions": {"torch": "2"},
        "git_revision": "0",
        "parts": parts,
    }
    (tmp_path / "gpu.json").write_text(json.dumps(record))
    page = performance_page(read_performance(tmp_path))
    assert "| cifar, compiled | 612.3 | yes | no | 21.0 s | 1.2 GB |  |" in page
    for words in ("1 failed, 35 passed in 40 s; FAILED tests/test_gpu.py::test_x", "files 12,346 images/s", "0.012 s",
                  "missing: stopped after 40 s"):  # fmt: skip
        assert f"| {words} |" in page or f"{words} |" in page
