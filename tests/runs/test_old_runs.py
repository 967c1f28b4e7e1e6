"""Runs of earlier versions are read for ever: `version_0` was made before configs carried a version.

Its networks are of one small convolution, registered here; it kept the centres of the center loss among their weights.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from reid_dml.models.backbones import register_backbone
from reid_dml.runs.folder import RunFolder
from reid_dml.runs.networks import load_networks

OLD = Path(__file__).parent / "version_0"


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.num_features = nn.Conv2d(3, 4, 5, 4, bias=False), nn.BatchNorm2d(4), 4

    def forward(self, images):
        return torch.relu(self.bn(self.conv(images)))


@register_backbone("small_for_tests", stage_modules=("conv", "bn"))
def build(size):
    return Small()


@pytest.fixture
def old_run(tmp_path):
    return shutil.copytree(OLD, tmp_path / "version_0")


def test_config_classes_record_and_log_are_read():
    folder = RunFolder(OLD)
    cfg = folder.config()
    assert (cfg.TRAIN.STEPS, cfg.OBJECTIVE.CENTER_WEIGHT, cfg.COHORT.LR) == (6, 0.01, [0.001, 0.002])
    assert (cfg.MODEL.INIT, cfg.MODEL.DROPOUT, cfg.MODEL.BN_MOMENTUM) == (["default"], [0.1], [0.5])  # one value then
    assert folder.class_names() == ["1", "2", "3", "4", "5"]
    assert [line["step"] for line in folder.read_metrics()] == [2, 4, 6]


def test_weights_are_loaded_without_what_networks_no_longer_hold():
    file = OLD / "network_0_ema.safetensors"
    assert "centers" in load_file(file)
    networks = load_networks(RunFolder(OLD).config(), OLD, "cpu")
    assert torch.equal(networks[0].backbone.conv.weight, load_file(file)["backbone.conv.weight"])


def test_an_evaluation_gives_the_metrics_of_its_record(command, tmp_path, data_root):
    out = tmp_path / "metrics.json"
    options = ("MODEL.WEIGHTS", OLD, "DATA.ROOT", data_root, "DATA.CACHE_DIR", tmp_path)
    assert command("test_net", "--config-file", OLD / "config.yml", "--json", out, *options).code == 0
    found, recorded = json.loads(out.read_text()), json.loads((OLD / "result.json").read_text())["metrics"]
    for network, before in zip(found["networks"], recorded["networks"], strict=True):
        assert network["single_query"]["mAP"] == pytest.approx(before["single_query"]["mAP"], abs=1e-6)
        assert network["single_query"]["cmc"] == pytest.approx(before["single_query"]["cmc"], abs=1e-6)


def test_its_training_goes_on_from_its_checkpoint(command, old_run, tmp_path, data_root):
    options = ("OUTPUT_DIR", old_run, "DATA.ROOT", data_root, "DATA.CACHE_DIR", tmp_path)
    result = command("train_net", "--config-file", OLD / "config.yml", "--resume", *options)
    assert result.code == 0, result.err
    assert "continues at step 4" in result.out
    for name in ("network_0", "network_1", "network_0_ema"):
        now, before = load_file(old_run / f"{name}.safetensors"), load_file(OLD / f"{name}.safetensors")
        assert now.keys() == before.keys() - {"centers"}
        for key, tensor in now.items():  # another machine adds up in another order
            torch.testing.assert_close(tensor, before[key], rtol=1e-4, atol=1e-5)
    centers = torch.load(old_run / "checkpoints/step_000000006/network_0.pt", weights_only=True)["terms"]["center"]
    torch.testing.assert_close(
        centers["centers"], load_file(OLD / "network_0.safetensors")["centers"], rtol=1e-4, atol=1e-5
    )
