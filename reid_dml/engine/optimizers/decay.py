"""Which parameters weight decay falls on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from reid_dml.options import option


@dataclass(frozen=True)
class WeightDecay:
    """Weight decay of any optimiser."""

    weight_decay: float = option(0.0, "on convolution and linear weights", least=0)
    decay_norm: bool = option(False, "also on biases and batch norm, as in most CIFAR code")
    decay_depthwise: bool = option(True, "also on depthwise convolutions")

    def groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """The trainable parameters in one or two groups, with and without weight decay."""
        decayed, free = decayed_parameters(network, depthwise=self.decay_depthwise, norm=self.decay_norm)
        return [
            {"params": parameters, "weight_decay": decay}
            for parameters, decay in ((decayed, self.weight_decay), (free, 0.0))
            if parameters
        ]


def decayed_parameters(
    network: nn.Module, *, depthwise: bool, norm: bool = False
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable parameters with and without weight decay.

    Decay falls on convolution and linear weights, those of attention among them; on depthwise convolutions only if
    asked (TensorFlow's MobileNet recipe leaves them out); with `norm` on everything else too, biases and normalisation
    (the Torch code of wide residual networks, and most CIFAR code since).

    Args:
        network: whose parameters are meant.
        depthwise: whether it falls on depthwise convolutions.
        norm: whether it falls on all else, too.
    """
    weights: set[int] = set()
    depthwise_weights: set[int] = set()
    for module in network.modules():
        if isinstance(module, nn.modules.conv._ConvNd):
            is_depthwise = module.groups > 1 and module.groups == module.in_channels
            (depthwise_weights if is_depthwise else weights).add(id(module.weight))
        elif isinstance(module, nn.Linear):
            weights.add(id(module.weight))
        elif isinstance(module, nn.MultiheadAttention):  # its layers in front are parameters, and no modules
            for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
                weights.add(id(getattr(module, name)))
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for parameter in network.parameters():
        if parameter.requires_grad:
            wanted = depthwise if id(parameter) in depthwise_weights else norm or id(parameter) in weights
            (decayed if wanted else free).append(parameter)
    return decayed, free
