"""ResNets for 32x32: parameter counts, strides, the parameter-free shortcut and the starting weights."""

from __future__ import annotations

import pytest
import torch

from reid_dml.models import ReIDNetwork, build_backbone
from reid_dml.models.resnet_cifar import BasicBlock


# He et al., 2016, Table 6 prints 0.27M, 0.46M, 0.66M, 0.85M and 1.7M for 10 classes.
@pytest.mark.parametrize(
    ("depth", "parameters"), [(20, 275_572), (32, 470_004), (44, 664_436), (56, 858_868), (110, 1_733_812)]
)
def test_parameters_with_100_classes_and_stride(depth, parameters):
    with torch.device("meta"):
        network = ReIDNetwork(build_backbone(f"resnet{depth}_cifar", (32, 32)), 100)
        assert network.backbone(torch.empty(2, 3, 32, 32)).shape == (2, 64, 8, 8)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_the_shortcut_takes_every_second_pixel_and_adds_zeros():
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    shortcut = BasicBlock(3, 5, 2).shortcut(x)
    assert shortcut.shape == (2, 5, 2, 3)
    for row in range(2):
        for column in range(3):
            assert torch.equal(shortcut[:, :3, row, column], x[:, :, 2 * row, 2 * column])
    assert not shortcut[:, 3:].any()


def test_a_block_adds_its_convolutions_to_the_shortcut():
    block = BasicBlock(4, 4, 1).eval()
    x = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        block.bn2.weight.zero_()
        torch.testing.assert_close(block(x), x.relu())
        block.bn2.bias.fill_(0.5)
        torch.testing.assert_close(block(x), (x + 0.5).relu())


def test_convolutions_start_at_he_s_scale():
    torch.manual_seed(0)
    weight = build_backbone("resnet32_cifar", (32, 32)).stages[2][1].conv1.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
