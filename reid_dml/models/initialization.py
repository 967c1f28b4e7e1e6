"""Starting weights of our own networks."""

from __future__ import annotations

from torch import nn


def he_normal(network: nn.Module) -> None:
    """Convolutions from N(0, 2 / fan-in), which keeps the scale of ReLU's inputs from layer to layer.

    He et al., "Delving Deep into Rectifiers", 2015, Eq. (10).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
