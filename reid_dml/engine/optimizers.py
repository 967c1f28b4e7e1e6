"""One optimiser for each network, with weight decay only where the recipe has it."""

from __future__ import annotations

import torch
from torch import nn
from yacs.config import CfgNode


def decayed_parameters(network: nn.Module, *, depthwise: bool) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable parameters with and without weight decay.

    Decay falls on convolution and linear weights; never on biases and normalisation; on depthwise convolutions only
    if asked (TensorFlow's MobileNet recipe leaves them out).
    """
    decayed: list[torch.Tensor] = []
    for module in network.modules():
        is_depthwise = isinstance(module, nn.Conv2d) and module.groups > 1 and module.groups == module.in_channels
        if isinstance(module, (nn.Conv2d, nn.Linear)) and (depthwise or not is_depthwise):
            decayed.append(module.weight)
    chosen = {id(parameter) for parameter in decayed}
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [p for p in trainable if id(p) in chosen], [p for p in trainable if id(p) not in chosen]


def build_optimizer(cfg: CfgNode, network: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """The optimiser of one network; its learning rates are 0-d tensors on the network's device."""
    options = cfg.OPTIM
    decayed, free = decayed_parameters(network, depthwise=options.DECAY_DEPTHWISE)
    device = next(network.parameters()).device

    def rate() -> torch.Tensor:
        return torch.tensor(learning_rate, device=device)

    groups = [
        {"params": parameters, "weight_decay": decay, "lr": rate()}
        for parameters, decay in ((decayed, options.WEIGHT_DECAY), (free, 0.0))
        if parameters
    ]
    if options.NAME == "sgd":
        return torch.optim.SGD(groups, lr=rate(), momentum=options.MOMENTUM, nesterov=options.NESTEROV, fused=True)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[options.NAME]
    return kind(groups, lr=rate(), betas=tuple(options.BETAS), eps=options.EPS, fused=True)
