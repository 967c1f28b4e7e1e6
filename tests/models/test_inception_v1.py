"""InceptionV1: parameter counts, strides, equality with torchvision's."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import googlenet

from reid_dml.models import ReIDNetwork, build_backbone


@pytest.mark.parametrize(
    ("name", "size", "parameters", "side"),
    [
        ("inception_v1", 224, 5_702_404, 7),
        ("inception_v1_5x5", 224, 6_083_332, 7),
        ("inception_v1_cifar", 32, 5_702_404, 4),
        ("inception_v1_cifar_5x5", 32, 6_083_332, 4),
    ],
)
def test_parameters_with_100_classes_and_stride(name, size, parameters, side):
    with torch.device("meta"):
        network = ReIDNetwork(build_backbone(name, (size, size)), 100)
        assert network.backbone(torch.empty(2, 3, size, size)).shape == (2, 1024, side, side)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("size", [(64, 64), (65, 97)])
def test_it_equals_torchvision_s_tensor_for_tensor(size):
    torch.manual_seed(0)
    theirs = googlenet(weights=None, aux_logits=False, init_weights=False).eval()
    ours = ReIDNetwork(build_backbone("inception_v1", size), 1000).eval()
    state = theirs.state_dict()
    ours.head.load_state_dict({"weight": state.pop("fc.weight"), "bias": state.pop("fc.bias")})
    ours.backbone.load_state_dict(state)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        torch.testing.assert_close(ours(images).logits, theirs(images), rtol=1e-5, atol=1e-6)
