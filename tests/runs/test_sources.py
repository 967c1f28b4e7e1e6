"""Networks of a run by its folder or by one of its files, wherever that is now; options behind either."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from reid_dml import FeatureExtractor, FeatureSet
from reid_dml.config import flatten
from reid_dml.data.sets import load_data
from reid_dml.errors import UserError
from reid_dml.runs.folder import OF_THE_PLACE, RunFolder
from reid_dml.runs.sources import head_classes, network_index, run_config
from tests.runs.test_old_runs import OLD


@pytest.fixture
def alone(tiny_run, tmp_path):
    """A weights file of network 1 under another name, without anything beside it."""
    (tmp_path / "elsewhere").mkdir()
    return shutil.copy(tiny_run / "network_1_ema.safetensors", tmp_path / "elsewhere" / "best.safetensors")


@pytest.fixture
def query(make_config):
    return load_data(make_config()).query[0].path.rsplit("/", 1)[0]


def test_a_copied_file_knows_config_index_and_classes(alone, tiny_run):
    expected, found = flatten(RunFolder(tiny_run).config()), flatten(run_config(alone))
    different = {key for key in expected if expected[key] != found[key]}
    assert different <= {"MODEL.WEIGHTS", *OF_THE_PLACE}
    assert network_index(alone) == 1
    assert head_classes(alone) == head_classes(tiny_run)


def test_a_copied_file_gives_the_features_of_its_run(alone, tiny_run, query):
    images = [f"{query}/{path.rsplit('/', 1)[-1]}" for path in [r.path for r in _records(query)]][:4]
    whole = FeatureExtractor.from_run(tiny_run, network=1, device="cpu")
    lone = FeatureExtractor.from_run(alone, device="cpu")
    np.testing.assert_array_equal(whole(images), lone(images))
    assert whole.model == lone.model


def _records(folder):
    from reid_dml.data.image_paths import folder_records

    return folder_records(folder)


def test_testing_a_run_and_a_copied_file(command, alone, tiny_run, data_root, tmp_path):
    record = json.loads((tiny_run / "result.json").read_text())["metrics"]
    for run, expected in ((tiny_run, record), (alone, {"networks": record["networks"][1:2], "indices": [1]})):
        result = command("test_net", "--run", run, "--json", tmp_path / "m.json", "DATA.ROOT", data_root, "THREADS", 1)
        assert result.code == 0, result.err
        assert "warning" not in result.err
        assert json.loads((tmp_path / "m.json").read_text()) == expected


def test_a_backbone_of_another_toolkit_gives_its_features(tiny_run, make_config, query, tmp_path):
    ours = FeatureExtractor.from_run(tiny_run, network=0, device="cpu")
    state = ours.networks[0].backbone.state_dict()
    theirs = {"module.classifier.weight": torch.ones(3, 2)} | {f"module.{name}": state[name] for name in state}
    torch.save({"state_dict": theirs, "epoch": 5, "rank1": np.float64(0.9)}, tmp_path / "model.pth.tar-5")
    found = FeatureExtractor.from_config(make_config("MODEL.WEIGHTS", str(tmp_path / "model.pth.tar-5")))
    images = [record.path for record in _records(query)][:4]
    np.testing.assert_array_equal(found(images), ours(images))
    again = FeatureExtractor.from_config(make_config("MODEL.WEIGHTS", str(tmp_path / "model.pth.tar-5"), "SEED", "9"))
    assert again.model == found.model != ours.model


def test_a_backbone_that_is_not_whole_is_refused(tiny_run, make_config, tmp_path):
    state = FeatureExtractor.from_run(tiny_run, network=0, device="cpu").networks[0].backbone.state_dict()
    name = next(iter(state))
    torch.save(state, tmp_path / "whole.pth")
    del state[name]
    torch.save(state, tmp_path / "w.pth")
    weights = ["MODEL.WEIGHTS", str(tmp_path / "w.pth")]
    with pytest.raises(UserError, match=rf"w\.pth: does not give the whole backbone of .*: 1 tensors .* \({name}\)"):
        FeatureExtractor.from_config(make_config(*weights))
    weights = ["MODEL.WEIGHTS", str(tmp_path / "whole.pth"), "MODEL.NECK", "bn"]
    with pytest.raises(UserError, match=r"whole\.pth: has no batch-norm neck of width 256; set MODEL\.NECK none"):
        FeatureExtractor.from_config(make_config(*weights))


def test_options_go_with_a_run_in_every_tool(command, tiny_run, query, tmp_path):
    with_flip = ("--run", tiny_run, "TEST.FLIP", "True")
    for name, options in (("plain", ("--run", tiny_run)), ("flip", with_flip)):
        result = command("extract_features", *options, "--images", query, "--output", tmp_path / f"{name}.npz")
        assert result.code == 0, result.err
    plain, flip = (FeatureSet.load(tmp_path / f"{name}.npz") for name in ("plain", "flip"))
    assert plain.model != flip.model
    assert np.abs(plain.features - flip.features).max() > 1e-4
    index = tmp_path / "index"
    assert command("build_index", "--index", index, "--images", query, *with_flip).code == 0
    assert command("search_gallery", "--index", index, "--query", query, *with_flip).code == 0
    assert (
        "they cannot be compared"
        in command("search_gallery", "--index", index, "--query", query, "--run", tiny_run).error
    )
    assert "unknown option TEST.FLOP" in command("test_net", "--run", tiny_run, "TEST.FLOP", "1").error


def test_extracting_writes_every_format(command, tiny_run, query, tmp_path):
    from reid_dml.features.formats import read_features

    for suffix in ("npz", "parquet", "mat"):
        output = tmp_path / f"f.{suffix}"
        assert command("extract_features", "--run", tiny_run, "--images", query, "--output", output).code == 0
    sets = [read_features(tmp_path / f"f.{suffix}") for suffix in ("npz", "parquet", "mat")]
    np.testing.assert_array_equal(sets[0].features, sets[1].features)
    np.testing.assert_array_equal(sets[0].features, sets[2].features)


def test_files_of_before_are_used_beside_their_config(alone, tiny_run, tmp_path):
    assert network_index(OLD / "network_0_ema.safetensors") == 0
    assert run_config(OLD / "network_0_ema.safetensors").EXPERIMENT
    save_file(load_file(alone), tmp_path / "bare.safetensors")
    with pytest.raises(UserError, match=r"bare\.safetensors: says nothing of its config.*copy config\.yml"):
        run_config(tmp_path / "bare.safetensors")


def test_weights_files_are_the_same_bytes_each_time(tiny_run, tmp_path):
    from reid_dml.models.safetensors_files import read_weights, weights_bytes

    file = tiny_run / "network_0.safetensors"
    tensors, metadata = read_weights(file)
    about = {key: value for key, value in metadata.items() if key != "sha256"}
    for _ in range(3):
        assert weights_bytes(tensors, about) == file.read_bytes()


def test_what_is_no_run_is_refused(command, tiny_config, tiny_run, tmp_path):
    assert "not found; name a run folder" in command("test_net", "--run", tmp_path / "gone").error
    (tmp_path / "empty").mkdir()
    assert "is not a run folder" in command("test_net", "--run", tmp_path / "empty").error
    both = command("test_net", "--run", tiny_run, "--config-file", tiny_config).error
    assert "give --run or --config-file, not both" in both
    neither = command("test_net", "MODEL.WEIGHTS", "runs/x").error
    assert "give --run runs/x" in neither


def test_a_teacher_may_be_a_copied_file(command, alone, tiny_config, tmp_path):
    options = ("OUTPUT_DIR", tmp_path / "run", "COHORT.TEACHERS", alone, "TRAIN.STEPS", "2")
    assert command("train_net", "--config-file", tiny_config, *options).code == 0


def test_files_given_to_the_wrong_option_are_told_which(command, tiny_run, query, tmp_path):
    (tmp_path / "f.npz").write_bytes(b"x")
    build = ("build_index", "--index", tmp_path / "i")
    assert "give feature files with --features" in command(*build, "--images", tmp_path / "f.npz").error
    assert "give folders of images with --images" in command(*build, "--features", query).error
