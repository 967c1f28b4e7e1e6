"""What a network costs: parameters and multiply-accumulate operations."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from reid_dml.models.backbones import build_backbone
from reid_dml.models.reid_network import ReIDNetwork


@dataclass(frozen=True)
class NetworkSummary:
    """The size of a network with its head."""

    name: str
    parameters: int
    macs: int  # of one image's forward pass: convolutions, linear layers and attention
    feature_dim: int


def summarize(name: str, size: tuple[int, int], num_classes: int) -> NetworkSummary:
    """Size of a network.

    Args:
        name: of its backbone.
        size: height and width of the inputs.
        num_classes: rows of its head.

    Raises:
        UserError: an unknown name, or a size that the network cannot take.
    """
    return summarize_network(ReIDNetwork(build_backbone(name, size), num_classes), name, size)


def summarize_network(network: ReIDNetwork, name: str, size: tuple[int, int]) -> NetworkSummary:
    """Size of a network that is built already; it stays as it is.

    Args:
        network: of any device.
        name: what the summary calls it.
        size: height and width of the inputs.
    """
    # The meta device has shapes only, which is all that counting takes; some of torchvision's cannot be built there.
    network = copy.deepcopy(network).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, *size, device="meta"))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return NetworkSummary(name, parameters, counter.get_total_flops() // 2, network.feature_dim)
