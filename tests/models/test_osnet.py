"""OSNet: published parameter counts, torchreid's tensor names and features; weights of torchreid and fast-reid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from reid_dml.config import load_config
from reid_dml.errors import UserError
from reid_dml.models import build_backbone
from reid_dml.runs.networks import load_networks

# Without the classifier, as torchreid 0.2.5 builds them; the paper prints 2.2M, 1.3M, 0.6M and 0.2M.
PARAMETERS = {"osnet_x1_0": 2_169_508, "osnet_x0_75": 1_285_754, "osnet_x0_5": 630_034, "osnet_x0_25": 201_864}
# Entries 0, 64, ..., 448 of the features of torchreid 0.2.5's networks, by the weights and images of `patterned` below.
TORCHREID = {
    "osnet_x1_0": [5.93475, 0, 0, 2.99183, 0.597903, 0, 3.05882, 4.50158],
    "osnet_x0_75": [6.32418, 0, 3.55536, 0, 5.30809, 0, 7.51715, 0],
    "osnet_x0_5": [2.13194, 0.366062, 0, 1.42087, 0, 0, 3.85678, 0],
    "osnet_x0_25": [1.12111, 1.16294, 0.174766, 0, 0, 0, 1.94778, 1.43322],
}


def patterned(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the same names and shapes that every machine computes alike."""
    result = {}
    for place, (name, value) in enumerate(state.items()):
        wave = torch.sin(torch.arange(value.numel(), dtype=torch.float64) * (0.7 + 0.001 * place) + place)
        wave = wave.reshape(value.shape)
        if name.endswith("running_var"):
            result[name] = (1 + 0.5 * wave).float()
        elif value.ndim > 1:
            result[name] = (wave * (1.7 / value[0].numel()) ** 0.5).float()
        elif name.endswith("weight"):
            result[name] = (1 + 0.2 * wave).float()
        elif value.is_floating_point():
            result[name] = (0.1 * wave).float()
        else:
            result[name] = value
    return result


def images(height: int, width: int) -> Tensor:
    places = torch.arange(2 * 3 * height * width, dtype=torch.float64)
    return (2 * torch.sin(places.square() * 1e-5)).reshape(2, 3, height, width).float()


@pytest.mark.parametrize("name", PARAMETERS)
def test_it_is_torchreid_s(name):
    network = build_backbone(name, (64, 32)).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]
    network.load_state_dict(patterned(network.state_dict()))
    with torch.no_grad():
        features = network(images(64, 32))
    assert features.shape == (2, 512)
    np.testing.assert_allclose(features[1, ::64], TORCHREID[name], rtol=1e-4, atol=1e-5)


def test_its_tensors_are_called_as_torchreid_s():
    names = list(build_backbone("osnet_x0_25", (64, 32)).state_dict())
    assert names[:2] == ["conv1.conv.weight", "conv1.bn.weight"]
    assert {"conv2.0.conv2d.3.conv2.weight", "conv3.1.gate.fc2.bias", "conv3.2.0.bn.running_var"} <= set(names)
    assert {"conv4.0.downsample.conv.weight", "conv5.bn.bias", "fc.0.weight", "fc.1.running_mean"} <= set(names)
    assert len(names) == 565


def test_its_last_resolution_cannot_be_kept():
    with pytest.raises(UserError, match="has no last stage whose stride could be 1"):
        build_backbone("osnet_x0_25", (64, 32), last_stride=1)


class ForeignConfig:
    """A config for the weights of another toolkit."""

    def __init__(self, folder) -> None:
        self.path = folder / "theirs.yml"

    def load(self, network: str, model: str = "{}"):
        text = f"COHORT: {{NETWORKS: [{network}]}}\nOBJECTIVE: {{STRATEGY: independent}}\nMODEL: {model}\n"
        self.path.write_text(text + "DATA: {STORED_SIZE: [64, 32]}\nINPUT: {SIZE: [64, 32]}\n")
        return load_config(self.path)


def test_a_checkpoint_of_torchreid_gives_its_features(tmp_path, caplog):
    source = build_backbone("osnet_x0_25", (64, 32)).eval()
    source.load_state_dict(patterned(source.state_dict()))
    state = {f"module.{name}": value for name, value in source.state_dict().items()}
    state |= {"module.classifier.weight": torch.zeros(751, 512), "module.classifier.bias": torch.zeros(751)}
    path = tmp_path / "model.pth.tar-250"
    torch.save({"state_dict": state, "epoch": 250, "rank1": np.float64(0.94), "optimizer": {}}, path)
    with caplog.at_level("INFO"):
        network = load_networks(ForeignConfig(tmp_path).load("osnet_x0_25"), path, "cpu")[0]
    assert "2 unexpected: classifier.bias, classifier.weight" in caplog.text
    with torch.no_grad():
        torch.testing.assert_close(network(images(64, 32)).features, source(images(64, 32)), rtol=0, atol=1e-5)


class FastReid(nn.Module):
    """What fast-reid's Baseline is in evaluation, with a small ResNet (fastreid/modeling/backbones/resnet.py)."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = resnet18()
        self.backbone.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.backbone.layer4[0].conv1.stride = self.backbone.layer4[0].downsample[0].stride = (1, 1)
        self.backbone.fc = nn.Identity()
        self.heads = nn.Module()
        self.heads.bottleneck = nn.Sequential(nn.BatchNorm2d(512))
        self.heads.weight = nn.Parameter(torch.zeros(7, 512))

    def forward(self, x: Tensor) -> Tensor:
        return self.heads.bottleneck(self.backbone(x)[..., None, None])[..., 0, 0]


def test_a_checkpoint_of_fast_reid_gives_the_features_behind_its_neck(tmp_path, caplog):
    source = FastReid().eval()
    source.load_state_dict(patterned(source.state_dict()))
    path = tmp_path / "model_final.pth"
    torch.save({"model": source.state_dict(), "iteration": 9}, path)
    configs = ForeignConfig(tmp_path)
    with caplog.at_level("INFO"):
        network = load_networks(configs.load("fastreid_resnet18", "{NECK: bn, LAST_STRIDE: 1}"), path, "cpu")[0]
    assert "neck: heads.bottleneck.0.* of" in caplog.text
    with torch.no_grad():
        expected = source(images(64, 32))
        torch.testing.assert_close(network(images(64, 32)).features, expected, rtol=1e-5, atol=1e-5)
        # torchvision's first pooling has other windows: same tensors, other features.
        other = load_networks(configs.load("torchvision/resnet18", "{NECK: bn, LAST_STRIDE: 1}"), path, "cpu")[0]
        assert (other(images(64, 32)).features - expected).abs().max() > 0.01


def test_a_file_without_a_neck_is_refused_where_one_is_wanted(tmp_path):
    path = tmp_path / "plain.pth"
    torch.save(build_backbone("osnet_x0_25", (64, 32)).state_dict(), path)
    with pytest.raises(UserError, match=r"plain.pth: has no batch-norm neck of width 512; set MODEL.NECK none"):
        load_networks(ForeignConfig(tmp_path).load("osnet_x0_25", "{NECK: bn}"), path, "cpu")
