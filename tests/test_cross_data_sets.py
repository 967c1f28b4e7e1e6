"""Testing on other data sets, training on several together, and the table of runs and data sets."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from reid_dml.commands.presentation import expected_rows
from reid_dml.commands.train import train_and_evaluate
from reid_dml.config import load_config
from reid_dml.data.joined import join_training, with_tests_of
from reid_dml.data.records import ImageRecord, ReIDData
from reid_dml.data.sets import alone, load_data
from reid_dml.errors import UserError
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.runs.folder import RunFolder
from reid_dml.runs.sources import run_config
from tests.conftest import REPOSITORY

PUBLISHED_ROW = "cvpr/mobilenet_dml_imagenet"


def data_set(name, persons, cameras, original_ids=None):
    train = [
        ImageRecord(f"/sets/{name}/{person}_{camera}.png", person, camera) for person in persons for camera in cameras
    ]
    other = [ImageRecord(f"/sets/{name}/q.png", 9, 1)]
    return ReIDData(name, f"/sets/{name}", train, other, other, original_ids=original_ids or {})


def test_persons_and_cameras_of_two_sets_are_kept_apart():
    joined = join_training([data_set("a", [1, 4], [1, 2]), data_set("b", [1, 2], [0, -1], {1: "anna", 2: "ben"})])
    assert [(r.person_id, r.camera_id) for r in joined.train] == [
        (1, 1), (1, 2), (4, 1), (4, 2), (5, 3), (5, -1), (6, 3), (6, -1),
    ]  # fmt: skip
    assert joined.class_names == ["a/1", "a/4", "b/anna", "b/ben"]
    assert joined.train[4].camera == "b/0"
    assert (joined.name, joined.root) == ("a + b", "/sets")
    # A set of unknown cameras between others moves none of them together.
    third = join_training([data_set("a", [1], [3]), data_set("b", [1], [-1]), data_set("c", [1], [3])])
    assert [r.camera_id for r in third.train] == [3, -1, 7]


def test_one_set_trains_as_it_does_alone():
    data, other = data_set("a", [1, 4], [1, 2]), data_set("b", [1, 2], [1, 2])
    joined = with_tests_of(join_training([data]), other)
    assert joined.train == data.train
    assert joined.training_summary() == data.training_summary()
    assert (joined.name, joined.trained_on, joined.query) == ("b", "a", other.query)
    assert with_tests_of(join_training([data]), data) == data


def test_a_drawn_set_is_not_put_into_a_folder_of_photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = ["DATA.NAME", "folder_per_person", "DATA.ROOT", "photos"]
    cfg = load_config("quickstart", own)
    assert alone(cfg, "synthetic").DATA.ROOT == "datasets"
    assert alone(cfg, "folder_per_person").DATA.ROOT == "photos"
    assert alone(cfg, "folder=elsewhere").DATA.ROOT == "elsewhere"
    assert alone(load_config("quickstart", ["DATA.ROOT", "sets"]), "market1501").DATA.ROOT == "sets"


@pytest.fixture(scope="session")
def other_set(tmp_path_factory, tiny_config):
    """A second drawn data set as a folder in Market layout."""
    root = tmp_path_factory.mktemp("other")
    load_data(load_config(tiny_config, ["SYNTHETIC.SEED", "1", "DATA.ROOT", str(root)]))
    (folder,) = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return folder.rename(root / "other")


@pytest.fixture
def run(tiny_run, tmp_path):
    return Path(shutil.copytree(tiny_run, tmp_path / "tiny"))


def metrics_by_hand(features, query, gallery):
    """mAP and rank-1 of single queries by sorting."""
    precisions, firsts = [], []
    for record, feature in zip(query, features[: len(query)], strict=True):
        scores = features[len(query) :] @ feature
        kept = [
            row for row, other in enumerate(gallery)
            if (other.person_id, other.camera_id) != (record.person_id, record.camera_id)
        ]  # fmt: skip
        order = sorted(kept, key=lambda row: -scores[row])
        hits = [place for place, row in enumerate(order) if gallery[row].person_id == record.person_id]
        if hits:
            precisions.append(np.mean([(number + 1) / (place + 1) for number, place in enumerate(hits)]))
            firsts.append(hits[0] == 0)
    return np.mean(precisions), np.mean(firsts)


def test_numbers_on_another_set_are_those_by_hand_and_kept(command, run, other_set, tiny_config, data_root, tmp_path):
    plain = command("test_net", "--run", run, "DATA.ROOT", data_root, "--json", tmp_path / "plain.json")
    assert plain.code == 0, plain.err
    assert not (run / "tests").exists()
    tested = ("test_net", "--run", run, "DATA.ROOT", data_root, "DATA.TEST", f"[synthetic, folder={other_set}]")
    result = command(*tested, "--json", tmp_path / "m.json")
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "m.json").read_text())["data_sets"]
    assert list(found) == ["synthetic", "other (own)"]
    assert found["synthetic"] == json.loads((tmp_path / "plain.json").read_text())
    data = load_data(load_config(tiny_config, ["DATA.NAME", "folder", "DATA.ROOT", str(other_set)]))
    images = [*data.query, *data.gallery]
    features = FeatureExtractor.from_run(run)([record.path for record in images])
    single = found["other (own)"]["ensemble"]["single_query"]
    by_hand = metrics_by_hand(features, data.query, data.gallery)
    assert (single["mAP"], single["cmc"][0]) == pytest.approx(by_hand, abs=1e-6)
    kept = json.loads((run / "tests" / "other_own.json").read_text())
    assert (kept["dataset"], kept["metrics"]) == ("other (own)", found["other (own)"])
    # The table from the records, beside what the terminal showed.
    cell = f"{100 * single['mAP']:.2f} / {100 * single['cmc'][0]:.2f}"
    assert cell in result.out
    table = command("compare_runs", run, "--csv", tmp_path / "t.csv", "--json", tmp_path / "t.json")
    assert table.code == 0, table.err
    header, row = (tmp_path / "t.csv").read_text().splitlines()
    assert header == "mAP / rank-1 (%),trained on,synthetic,other (own)"
    assert row.split(",")[:2] == ["tiny", "synthetic"]
    assert row.split(",")[3] == cell
    assert cell in table.out
    assert (
        json.loads((tmp_path / "t.json").read_text())["models"]["tiny"]["other (own)"]
        == found["other (own)"]["ensemble"]
    )
    first = command("compare_runs", run, "--network", "1")
    assert f"{100 * found['other (own)']['networks'][1]['single_query']['mAP']:.2f}" in first.out


def test_training_on_two_sets_and_testing_on_each(command, make_config, other_set, tmp_path):
    both = ("DATA.TRAIN", f"[synthetic, folder={other_set}]", "DATA.TEST", f"[folder={other_set}, synthetic]")
    cfg = make_config(*both)
    train_and_evaluate(cfg)
    run = Path(cfg.OUTPUT_DIR)
    record = json.loads((run / "result.json").read_text())
    assert (record["dataset"], record["trained_on"]) == ("other (own)", "synthetic + other (own)")
    classes = json.loads((run / "classes.json").read_text())
    assert len(classes["original_ids"]) == 10
    assert {name.rpartition("/")[0] for name in classes["original_ids"]} == {"synthetic", "other (own)"}
    # A weights file names no folders of this machine.
    header = run_config(run / "network_0.safetensors")
    assert (header.DATA.TRAIN, header.DATA.TEST) == (["synthetic", "folder"], [])
    kept = {path.name: json.loads(path.read_text())["metrics"] for path in (run / "tests").iterdir()}
    assert sorted(kept) == ["other_own.json", "synthetic.json"]
    assert kept["other_own.json"] == record["metrics"]
    result = command("test_net", "--run", run, "DATA.ROOT", cfg.DATA.ROOT, "--json", tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text())["data_sets"]["synthetic"] == kept["synthetic.json"], result.err
    # What is tested on may change when a run goes on; what is trained on may not.
    cfg = make_config(*both[:2], "TRAIN.STEPS", "8")
    train_and_evaluate(cfg, resume=True)
    record = json.loads((run / "result.json").read_text())
    assert record["dataset"] == "synthetic"
    with pytest.raises(UserError, match=r"DATA.TRAIN was \['synthetic', 'folder="):
        train_and_evaluate(make_config("TRAIN.STEPS", "8"), resume=True)


def write_viper(root, images):
    """A set in VIPeR's layout of images of a drawn set, two views of each person."""
    views: dict[int, list] = {}
    for record in images:
        views.setdefault(record.person_id, []).append(record.path)
    for view, folder in enumerate(("cam_a", "cam_b")):
        (root / "VIPeR" / folder).mkdir(parents=True)
        for person, paths in enumerate(views.values()):
            shutil.copy(paths[view], root / "VIPeR" / folder / f"{person:03d}_0{Path(paths[view]).suffix}")
    return root


@pytest.mark.filterwarnings("ignore:.*results are not comparable")
def test_every_protocol_keeps_its_own_results(command, run, tiny_config, data_root, tmp_path):
    viper = write_viper(tmp_path / "sets", load_data(load_config(tiny_config)).train)
    tested = ("test_net", "--run", run, "DATA.ROOT", data_root, "DATA.TEST", f"[synthetic, viper={viper}]")
    for split in (0, 1, 2):
        result = command(*tested, "PROTOCOL.SPLIT", split, "--json", tmp_path / f"{split}.json")
        assert result.code == 0, result.err
        assert ("viper (split " in result.out) == bool(split)
    # Nothing of synthetic depends on the split.
    names = {path.name for path in (run / "tests").iterdir()}
    assert names == {"synthetic.json", "viper.json", "viper_split_1.json", "viper_split_2.json"}
    for split, name in enumerate(("viper", "viper_split_1", "viper_split_2")):
        kept = json.loads((run / "tests" / f"{name}.json").read_text())
        shown = json.loads((tmp_path / f"{split}.json").read_text())["data_sets"]["viper"]
        assert (kept["dataset"], kept["protocol"]["split"], kept["metrics"]) == ("viper", split, shown)
    table = command("compare_runs", run, "--csv", tmp_path / "t.csv")
    assert table.code == 0, table.err
    header = (tmp_path / "t.csv").read_text().splitlines()[0]
    assert header == "mAP / rank-1 (%),trained on,synthetic,viper,viper (split 1),viper (split 2)"


@pytest.mark.filterwarnings("ignore:.*results are not comparable")
def test_a_run_s_record_names_a_protocol_that_is_not_the_default(command, make_config, tiny_config, tmp_path):
    viper = write_viper(tmp_path / "sets", load_data(load_config(tiny_config)).train)
    for split in (0, 1):
        folder = tmp_path / f"run{split}"
        options = ("DATA.NAME", "viper", "DATA.ROOT", str(viper), "PROTOCOL.SPLIT", str(split), "TRAIN.BATCH_SIZE", "2")
        train_and_evaluate(make_config(*options, "OUTPUT_DIR", str(folder)))
        record = json.loads((folder / "result.json").read_text())
        assert (record["dataset"], record.get("protocol")) == ("viper", {"split": 1} if split else None)
    table = command("compare_runs", tmp_path / "run0", tmp_path / "run1", "--csv", tmp_path / "t.csv")
    assert table.code == 0, table.err
    header, first, second = ((line + ",").split(",") for line in (tmp_path / "t.csv").read_text().splitlines())
    assert header[1:4] == ["trained on", "viper", "viper (split 1)"]
    assert (first[1], first[3]) == ("viper", "")
    assert (second[1], second[2]) == ("viper (split 1)", "")


def test_no_two_names_meet_in_one_file_and_plain_ones_stay():
    plain = {
        "market1501": "market1501",
        "other (own)": "other_own",
        "viper (split 3)": "viper_split_3",
        "prcc (split 1, clothes any, single_shot)": "prcc_split_1_clothes_any_single_shot",
        "my_cam (own)": "my_cam_own",
        "监控 (own)": "监控_own",
        "超市 (own)": "超市_own",
    }
    assert {name: RunFolder("run").tests_file(name).stem for name in plain} == plain
    others = [
        "my cam (own)",
        "my  cam (own)",
        "_my_cam (own)",
        "监控! (own)",
        "监控? (own)",
        "e\u0301 (own)",
        "e (own)",
    ]
    others += ["\udcff (own)", "\udcfe (own)", "market1501_", "!", "?", "data"]
    files = {RunFolder("run").tests_file(name) for name in (*plain, *others)}
    assert len(files) == len(plain) + len(others)
    # The file of an earlier version comes before, so that a table shows the newer one.
    assert Path("run/tests/my_cam_own.json") < RunFolder("run").tests_file("my cam (own)")


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ((), 1),
        (("DATA.TRAIN", "[market1501]"), 1),
        (("DATA.TRAIN", "[market1501=elsewhere]", "DATA.TEST", "[market1501=elsewhere, dukemtmc]"), 1),
        (("DATA.TEST", "[dukemtmc]"), 0),
        (("DATA.TRAIN", "[msmt17]"), 0),
        (("DATA.TRAIN", "[msmt17]", "DATA.TEST", "[market1501]"), 0),
        (("DATA.TRAIN", "[market1501, msmt17]"), 0),
        (("DATA.NAME", "msmt17", "DATA.TRAIN", "[market1501]"), 1),
    ],
)
@pytest.mark.filterwarnings("ignore:EXPECTED")
def test_published_rows_are_of_training_and_testing_on_their_set(options, rows):
    cfg = load_config(REPOSITORY / "configs" / "market_mobilenet_dml.yml", [*options, "EXPECTED", f"[{PUBLISHED_ROW}]"])
    assert len(expected_rows(cfg)) == rows


def test_no_published_row_stands_beside_results_of_another_set(command, tiny_config, tmp_path):
    options = ("DATA.NAME", "market1501", "DATA.TRAIN", "[synthetic]", "EXPECTED", f"[{PUBLISHED_ROW}]")
    result = command("train_net", "--config-file", tiny_config, "OUTPUT_DIR", tmp_path / "run", *options)
    assert result.code == 0, result.err
    assert f"EXPECTED: the published row {PUBLISHED_ROW} is of market1501, not of synthetic: not shown" in result.err
    assert "CVPR" not in result.out
    assert "CVPR" not in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("DATA.TEST", "[markt1501]"), "DATA.TEST: .*'markt1501'.*did you mean 'market1501'"),
        (("DATA.TRAIN", "[synthetic, cifar10]"), "DATA.TRAIN: .*cifar10, a set of classes"),
        (("DATA.TRAIN", "[synthetic, synthetic]"), "names a data set twice"),
        (("DATA.TEST", "[folder=/nowhere]"), "/nowhere: folder not found"),
        (("DATA.TEST", "[folder={other}, folder={copy}]"), "two data sets are called 'other \\(own\\)'"),
        (("DATA.TRAIN", "[folder={other}, folder={copy}]"), "two data sets are called 'other \\(own\\)'"),
    ],
)
def test_data_sets_that_cannot_be_are_one_line(command, tiny_config, tiny_run, other_set, tmp_path, options, words):
    copy = Path(shutil.copytree(other_set, tmp_path / "copy" / "other"))
    options = [option.format(other=other_set, copy=copy) for option in options]
    if options[0] == "DATA.TEST":
        result = command("test_net", "--config-file", tiny_config, "MODEL.WEIGHTS", tiny_run, *options)
    else:
        result = command("train_net", "--config-file", tiny_config, "OUTPUT_DIR", tmp_path / "run", *options)
        assert not (tmp_path / "run").exists()
    assert re.search(words, result.error), result.error
    assert not (tiny_run / "tests").exists()


def test_several_sets_have_no_one_report(command, tiny_run, tmp_path):
    result = command("test_net", "--run", tiny_run, "DATA.TEST", "[synthetic]", "--report", tmp_path / "r.html")
    assert "shows one data set" in result.error


def test_some_networks_of_a_run_are_compared_by_their_own_numbers(command, run, other_set, tmp_path):
    model = tmp_path / "second"
    assert command("save_model", "--run", run, "--to", model, "--network", "1").code == 0
    kept = json.loads((model / "result.json").read_text())
    whole = json.loads((run / "result.json").read_text())
    second = whole["metrics"]["networks"][1]
    assert kept["metrics"] == {"networks": [second], "indices": [1]}
    assert kept["networks"] == whole["networks"][1:]
    assert kept["curves"]["loss"]["networks"] == whole["curves"]["loss"]["networks"][1:]
    assert command("test_net", "--run", model, "DATA.TEST", f"[folder={other_set}]").code == 0
    record = json.loads((model / "tests" / "other_own.json").read_text())
    assert (record["networks"], record["metrics"]["indices"]) == (kept["networks"], [1])
    for network in ((), ("--network", "1"), ("--network", "mean")):
        shown = command("compare_runs", model, *network).out
        assert f"{100 * second['single_query']['mAP']:.2f} / " in shown
        assert f"{100 * record['metrics']['networks'][0]['single_query']['mAP']:.2f} / " in shown
    assert (
        "has no network '0'; give ensemble, mean, or one of 1" in command("compare_runs", model, "--network", 0).error
    )
    # Of the first two, all there are, the ensemble was evaluated.
    both = f"{100 * whole['metrics']['ensemble']['single_query']['mAP']:.2f} / "
    assert both in command("compare_runs", run, "--network", "0,1").out


def test_runs_that_cannot_be_compared_are_one_line(command, run, tmp_path):
    assert "is not a run folder" in command("compare_runs", tmp_path).error
    for network in ("7", "²", "9" * 5000):
        assert f"has no network '{network}'"[:40] in command("compare_runs", run, "--network", network).error
    (run / "tests").mkdir()
    (run / "tests" / "x.json").write_text('{"dataset": "x", "metrics": {"networks": [{}]}}')
    assert "x.json: damaged; test the run again" in command("compare_runs", run).error
    shutil.rmtree(run / "tests")
    whole = json.loads((run / "result.json").read_text())
    for change in (
        {"trained_on": 3, "protocol": 3},
        {"protocol": ["x"]},
        {"metrics": {"networks": []}},
        {"metrics": {"networks": [{"single_query": {"mAP": "0.5", "cmc": [0.5]}}]}},
        {"metrics": {"networks": [{"single_query": {"mAP": float("nan"), "cmc": [0.5]}}]}},
        {"metrics": 3},
    ):
        (run / "result.json").write_text(json.dumps(whole | change))
        words = ("compare_runs", run, "--json", tmp_path / "t.json")
        assert "result.json: damaged; test the run again" in command(*words).error, change
    (run / "result.json").unlink()
    assert "result.json: missing; finish the run, or test it" in command("compare_runs", run).error
