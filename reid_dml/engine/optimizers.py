"""One optimiser for each network, with weight decay only where the recipe has it."""

from __future__ import annotations

import torch
from torch import nn
from yacs.config import CfgNode


def decayed_parameters(
    network: nn.Module, *, depthwise: bool, norm: bool = False
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable parameters with and without weight decay.

    Decay falls on convolution and linear weights; on depthwise convolutions only if asked (TensorFlow's MobileNet
    recipe leaves them out); with `norm` on everything else too, biases and normalisation (the Torch code of wide
    residual networks, and most CIFAR code since).
    """
    weights: set[int] = set()
    depthwise_weights: set[int] = set()
    for module in network.modules():
        is_depthwise = isinstance(module, nn.Conv2d) and module.groups > 1 and module.groups == module.in_channels
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            (depthwise_weights if is_depthwise else weights).add(id(module.weight))
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for parameter in network.parameters():
        if parameter.requires_grad:
            wanted = depthwise if id(parameter) in depthwise_weights else norm or id(parameter) in weights
            (decayed if wanted else free).append(parameter)
    return decayed, free


def build_optimizer(cfg: CfgNode, network: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """The optimiser of one network; its learning rates are 0-d tensors on the network's device."""
    options = cfg.OPTIM
    decayed, free = decayed_parameters(network, depthwise=options.DECAY_DEPTHWISE, norm=options.DECAY_NORM)
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
    if options.NAME == "rmsprop_tf":
        from timm.optim import RMSpropTF  # takes seconds to import: only where it is needed

        # It takes the rate from the groups, tensors too; `foreach`, because tensors would make it go one by one.
        return RMSpropTF(groups, alpha=options.ALPHA, eps=options.EPS, momentum=options.MOMENTUM, foreach=True)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[options.NAME]
    # Capturable: a CUDA graph may record the step. The fused kernels compute the same either way.
    capturable = device.type == "cuda"
    return kind(groups, lr=rate(), betas=tuple(options.BETAS), eps=options.EPS, fused=True, capturable=capturable)
