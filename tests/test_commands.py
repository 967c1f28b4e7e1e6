"""The commands as a user types them: what they write, and how they refuse bad input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from reid_dml.data.sets import load_data
from reid_dml.features import FeatureSet
from tests.conftest import REPOSITORY


@pytest.fixture
def feature_files(command, tiny_config, tiny_run, make_config, tmp_path):
    """Feature files of the tiny data set's query, gallery and boxes."""
    root = Path(load_data(make_config()).root)
    files = {}
    for name, folder in {"q": "query", "g": "bounding_box_test", "m": "gt_bbox"}.items():
        files[name] = tmp_path / f"{name}.npz"
        result = command(
            "extract_features", "--config-file", tiny_config, "MODEL.WEIGHTS", tiny_run, "--images", root / folder,
            "--output", files[name],
        )  # fmt: skip
        assert result.code == 0, result.err
    return files


def test_testing_repeats_the_metrics_of_training(command, tiny_config, tiny_run, tmp_path):
    result = command(
        "test_net", "--config-file", tiny_config, "--json", tmp_path / "m.json", "--report", tmp_path / "r.html",
        "MODEL.WEIGHTS", tiny_run,
    )  # fmt: skip
    assert result.code == 0, result.err
    record = json.loads((tiny_run / "result.json").read_text())
    assert json.loads((tmp_path / "m.json").read_text()) == record["metrics"]
    assert "ensemble" in result.out
    assert "<svg" in (tmp_path / "r.html").read_text()


def test_testing_with_other_inputs_warns_by_name(command, tiny_config, tiny_run):
    result = command("test_net", "--config-file", tiny_config, "MODEL.WEIGHTS", tiny_run, "INPUT.SIZE", "[48, 16]")
    assert result.code == 0
    assert "warning: " in result.err
    assert "trained otherwise than used here: INPUT.SIZE was [32, 16], is [48, 16]" in result.err


def test_testing_one_network_gives_its_metrics(command, tiny_config, tiny_run, tmp_path):
    weights = tiny_run / "network_1_ema.safetensors"
    result = command("test_net", "--config-file", tiny_config, "MODEL.WEIGHTS", weights, "--json", tmp_path / "m.json",
                     "TEST.EXPAND_ALPHA", 3)  # fmt: skip
    assert "warning: TEST.EXPAND_ALPHA: 3.0: has no effect while TEST.EXPAND is 0" in result.err
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "m.json").read_text())
    metrics = json.loads((tiny_run / "result.json").read_text())["metrics"]["networks"][1]
    assert found == {"networks": [metrics], "indices": [1]}


def test_extracting_and_scoring_repeats_the_ensemble_s_metrics(command, feature_files, tiny_run, tmp_path):
    q, g, m = (feature_files[name] for name in "qgm")
    result = command("score_features", "--query", q, "--gallery", g, "--multi-query", m, "--json", tmp_path / "s.json")
    assert result.code == 0, result.err
    expected = json.loads((tiny_run / "result.json").read_text())["metrics"]["ensemble"]
    assert json.loads((tmp_path / "s.json").read_text()) == expected
    assert expected["single_query"]["mAP"] > 0.1  # not the score of constant features


def test_extracted_features_know_their_images(feature_files):
    gallery = FeatureSet.load(feature_files["g"])
    assert set(gallery.person_ids.tolist()) == {-1, 0, 6, 7, 8, 9}
    assert gallery.paths.tolist() == sorted(gallery.paths.tolist())
    np.testing.assert_allclose(np.linalg.norm(gallery.features, axis=1), 1, atol=1e-5)


def test_names_without_ids_are_unknown_and_subfolders_are_searched(
    command, tiny_config, tiny_run, make_config, tmp_path
):
    image = load_data(make_config()).query[0].path
    (tmp_path / "in" / "deep").mkdir(parents=True)
    shutil.copy(image, tmp_path / "in" / "deep" / "holiday.png")
    command("extract_features", "--config-file", tiny_config, "MODEL.WEIGHTS", tiny_run, "--images", tmp_path / "in",
            "--output", tmp_path / "f.npz", "--network", 0)  # fmt: skip
    features = FeatureSet.load(tmp_path / "f.npz")
    assert (features.person_ids.tolist(), features.camera_ids.tolist()) == ([-2], [-1])
    assert features.features.shape == (1, 256)


class TestRefusals:
    """One clear line, exit code 2, nothing overwritten."""

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["TRAIN.STEP", "5"], "did you mean TRAIN.STEPS?"),
            (["DATA.NAME", "folder", "DATA.ROOT", "/nowhere"], "/nowhere: folder not found"),
            (["COHORT.NETWORKS", "[mobilenet_v3, mobilenet_v1]"], "no network is called 'mobilenet_v3'"),
            (["COHORT.INIT_WEIGHTS", "[gone.safetensors]"], "gone.safetensors: the weights file not found"),
            (["TRAIN.BATCH_SIZE", "1000"], "larger than the training set of 20 images"),
            (["EXPECTED", "[table9]"], "EXPECTED: no published row is called 'table9'"),
            (["MODEL.WEIGHTS", "runs/x"], "MODEL.WEIGHTS: is for testing"),
            (["UPDATE.RULE", "parallel"], "UPDATE.RULE: 'parallel' is not one of "),
            (["OBJECTIVE.STRATEGY", "dmle"], "OBJECTIVE.STRATEGY: 'dmle' is not one of independent, dml, dml_e"),
            (["DEVICE", "cuda:99"], "DEVICE: cuda:99 was asked for"),
        ],
    )
    def test_training(self, command, tiny_config, tmp_path, arguments, words):
        result = command("train_net", "--config-file", tiny_config, "OUTPUT_DIR", tmp_path / "run", *arguments)
        assert words in result.error
        assert not (tmp_path / "run" / "config.yml").exists()

    def test_a_run_folder_as_starting_weights(self, command, tiny_config, tiny_run, tmp_path):
        start = ("COHORT.INIT_WEIGHTS", f"[{tiny_run}]")
        result = command("train_net", "--config-file", tiny_config, "OUTPUT_DIR", tmp_path / "run", *start)
        assert f"{tiny_run}: the weights file is expected to be a file, this is a folder" in result.error
        assert "; name one of its files: network_0.safetensors, network_0_ema.safetensors, network_1" in result.error
        assert not (tmp_path / "run" / "config.yml").exists()

    def test_a_corrupt_training_image(self, command, tiny_config, make_config, tmp_path):
        root = tmp_path / "copy"
        shutil.copytree(load_data(make_config()).root, root)
        train = ("train_net", "--config-file", tiny_config, "DATA.NAME", "folder", "DATA.ROOT", root)
        broken = next((root / "bounding_box_train").glob("0003*"))
        broken.write_bytes(broken.read_bytes()[:200])
        for source in ("resident", "streaming"):
            result = command(*train, "OUTPUT_DIR", tmp_path / source, "DATA.SOURCE", source)
            assert f"{broken}: image is corrupt" in result.error
        broken.unlink()
        zero = next((root / "query").iterdir())
        zero.write_bytes(b"")
        result = command(*train, "OUTPUT_DIR", tmp_path / "run")
        assert f"{zero}: image is empty (0 bytes)" in result.error
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        ("weights", "words"),
        [
            ("", "MODEL.WEIGHTS: not set"),
            ("gone", "gone: the weights file not found"),
            ("network_7.safetensors", "network 7 of a cohort, but COHORT.NETWORKS names 2"),
            ("truncated.safetensors", "not a whole safetensors file"),
            ("pickle.pt", "holds pickled objects"),
            (
                "other.safetensors",
                "none of its 1 tensors fits network 0 (mobilenet_v1_0.25) backbone; it belongs to another architecture",
            ),
            ("folder", "weights not found; name a run folder"),
        ],
    )
    def test_testing(self, command, tiny_config, tiny_run, tmp_path, weights, words):
        good = (tiny_run / "network_0_ema.safetensors").read_bytes()
        # Written without a header that knows better.
        save_file(load_file(tiny_run / "network_0_ema.safetensors"), tmp_path / "network_7.safetensors")
        (tmp_path / "truncated.safetensors").write_bytes(good[: len(good) // 2])
        torch.save({"a": Path("x")}, tmp_path / "pickle.pt")
        (tmp_path / "folder").mkdir()
        if weights == "other.safetensors":
            save_file({"head.weight": torch.zeros(5, 8)}, tmp_path / weights)
        result = command("test_net", "--config-file", tiny_config, "--json", tmp_path / "m.json",
                         "MODEL.WEIGHTS", tmp_path / weights if weights else "")  # fmt: skip
        assert words in result.error
        assert not (tmp_path / "m.json").exists()

    def test_testing_an_unfinished_run(self, command, tiny_config, tiny_run, tmp_path):
        shutil.copytree(tiny_run, tmp_path / "run")
        for path in (tmp_path / "run").glob("*.safetensors"):
            path.unlink()
        result = command("test_net", "--config-file", tiny_config, "MODEL.WEIGHTS", tmp_path / "run")
        assert "network_0_ema.safetensors: weights not found; its training has not ended" in result.error

    def test_scoring(self, command, feature_files, tmp_path):
        narrow = FeatureSet.load(feature_files["g"])
        narrow.with_features(narrow.features[:, :7].copy()).save(tmp_path / "narrow.npz")
        narrow.with_features(np.full_like(narrow.features, np.nan)).save(tmp_path / "nan.npz")
        narrow.select(np.array([], int)).save(tmp_path / "none.npz")
        replace(narrow, person_ids=narrow.person_ids + 100).save(tmp_path / "lost.npz")
        for name, words in (
            ("narrow.npz", "narrow.npz: features are 7-d, those of"),
            ("nan.npz", "features are NaN or infinite, first rows 0 ("),
            ("none.npz", "none.npz: holds no features"),
            ("gone.npz", "gone.npz: the feature file not found"),
            ("lost.npz", "no query has a match in the gallery"),
        ):
            result = command(
                "score_features",
                "--query",
                feature_files["q"],
                "--gallery",
                tmp_path / name,
                "--json",
                tmp_path / "s.json",
            )
            assert words in result.error
        assert not (tmp_path / "s.json").exists()

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"--images": "/nowhere"}, "/nowhere: folder not found"),
            ({"--images": "empty"}, "holds no images"),
            ({"--output": "f.txt"}, "f.txt: a feature file's name ends in .npz"),
            ({"--network": "2"}, "network '2' is neither `ensemble` nor one of 0, 1"),
        ],
    )
    def test_extracting(self, command, tiny_config, tiny_run, make_config, tmp_path, change, words):
        (tmp_path / "empty").mkdir()
        options = {"--images": load_data(make_config()).root, "--output": tmp_path / "f.npz", **change}
        if options["--images"] == "empty":
            options["--images"] = tmp_path / "empty"
        flat = [word for pair in options.items() for word in pair]
        result = command("extract_features", "--config-file", tiny_config, "MODEL.WEIGHTS", tiny_run, *flat)
        assert words in result.error
        assert not (tmp_path / "f.npz").exists()


def test_an_output_that_cannot_be_is_refused_before_the_work(command, feature_files, tiny_config, tiny_run, tmp_path):
    before = feature_files["q"].read_bytes()
    result = command(
        "score_features", "--query", feature_files["q"], "--gallery", feature_files["g"], "--json", feature_files["q"]
    )
    assert "q.npz: is one of the inputs" in result.error
    assert feature_files["q"].read_bytes() == before
    for words, *outputs in (
        ("is a folder; name a file to write", "--json", tmp_path),
        ("page: must end in .html", "--report", tmp_path / "page"),
        ("config.yml: is a part of the run in", "--json", tiny_run / "config.yml"),
        ("is named for two files to write", "--json", tmp_path / "x.html", "--report", tmp_path / "x.html"),
        ("a file to write has no name", "--json", ""),
    ):
        result = command("test_net", "--config-file", tiny_config, "MODEL.WEIGHTS", tiny_run, *outputs)
        assert words in result.error
    network = tmp_path / "network.safetensors"
    network.write_bytes(b"")
    for option in ("--json", "--report"):
        result = command("test_net", "--config-file", tiny_config, "MODEL.WEIGHTS", network, option, network)
        assert "network.safetensors: " in result.error
        assert not network.read_bytes()


def test_a_run_of_more_networks_or_without_average_is_refused(command, make_config, tiny_config, tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "more")
    shutil.copy(tiny_run / "network_0_ema.safetensors", tmp_path / "more" / "network_2_ema.safetensors")
    result = command("test_net", "--config-file", tiny_config, "MODEL.WEIGHTS", tmp_path / "more")
    assert "the run has more networks than COHORT.NETWORKS" in result.error
    shutil.copytree(tiny_run, tmp_path / "plain")
    for path in (tmp_path / "plain").glob("*_ema.safetensors"):
        path.unlink()
    result = command("test_net", "--config-file", tiny_config, "MODEL.WEIGHTS", tmp_path / "plain")
    assert "the run kept no average, set TEST.WEIGHTS last" in result.error


def test_help_answers_without_waiting_for_torch():
    for tool in sorted((REPOSITORY / "tools").glob("*.py")):
        script = (
            f"import sys, runpy; sys.argv = ['x', '--help']\ntry: runpy.run_path({str(tool)!r}, run_name='__main__')\n"
        )
        script += "except SystemExit as e: print('torch' in sys.modules, e.code)"
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=REPOSITORY
        )
        assert done.stdout.splitlines()[-1] == "False 0", tool


def test_a_refusal_reaches_the_shell():
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "tools/train_net.py", "--config-file", "configs/gone.yml"], capture_output=True, text=True,
        cwd=REPOSITORY, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {REPOSITORY}/configs/gone.yml: no such config file")
    assert len(done.stderr.splitlines()) == 1
    assert time.monotonic() - started < 60
