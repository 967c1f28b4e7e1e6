"""Wide residual networks: parameter counts, strides, the order inside a block, dropout."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from reid_dml.models import ReIDNetwork, build_backbone
from reid_dml.models.build import seed_dropout
from reid_dml.models.reid_network import Dropout
from reid_dml.models.wide_resnet import WideBlock, WideResNet


# The count behind the paper's 36.5M; the small ones are those of Tian et al., 2020 (0.70M, 2.26M).
@pytest.mark.parametrize(
    ("name", "parameters"),
    [("wrn_28_10", 36_536_884), ("wrn_28_10_dropout", 36_536_884), ("wrn_16_2", 703_284), ("wrn_40_2", 2_255_156)],
)
def test_parameters_with_100_classes_and_stride(name, parameters):
    with torch.device("meta"):
        network = ReIDNetwork(build_backbone(name, (32, 32)), 100)
        assert network.backbone(torch.empty(2, 3, 32, 32)).shape == (2, 64 * int(name.split("_")[2]), 8, 8)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize(("channels", "stride"), [(4, 1), (6, 2)])
def test_a_block_activates_before_it_convolves(channels, stride):
    torch.manual_seed(0)
    block = WideBlock(4, channels, stride, 0.0).double().eval()
    x = torch.randn(2, 4, 6, 6, dtype=torch.double)
    with torch.no_grad():
        block.bn1.bias.fill_(0.3)
        block.bn2.bias.fill_(-0.2)
        scale = (1 + 1e-5) ** -0.5  # of batch norm with fresh statistics
        active = (x * scale + 0.3).relu()
        out = F.conv2d(active, block.conv1.weight, stride=stride, padding=1)
        out = F.conv2d((out * scale - 0.2).relu(), block.conv2.weight, padding=1)
        shortcut = x if channels == 4 else F.conv2d(active, block.shortcut.weight, stride=stride)
        torch.testing.assert_close(block(x), out + shortcut)


def test_dropout_is_off_unless_named_and_follows_the_network_s_generator():
    def probabilities(name):
        with torch.device("meta"):
            network = build_backbone(name, (32, 32))
        return {module.probability for module in network.modules() if isinstance(module, Dropout)}

    assert probabilities("wrn_28_10") == {0.0}
    assert probabilities("wrn_28_10_dropout") == {0.3}
    network = WideResNet(10, 1, dropout=0.3).train()
    results = []
    for seed in (1, 1, 2):
        seed_dropout(network, seed, 0, "cpu")
        results.append(network(torch.ones(2, 3, 8, 8)))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
