"""A network from explicit arguments and a seed of its own; the random generators of its dropout."""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np
import torch
from torch import nn

from reid_dml.errors import UserError
from reid_dml.models.backbones import build_backbone
from reid_dml.models.reid_network import ReIDNetwork, use_generator
from reid_dml.models.weights import LoadReport, is_counter, load_partial

logger = logging.getLogger(__name__)

# Keys of independent streams of random numbers. 1 and 2 are the samplers', 4 the choice of labelled images.
_KEYS = {"initialisation": 3, "peer_dropout": 5, "dropout": 6}


def network_seed(
    seed: int, index: int, use: Literal["initialisation", "dropout", "peer_dropout"] = "initialisation"
) -> int:
    """Seed of network `index` for one use; it does not depend on the cohort's size or the process.

    Args:
        seed: of the run.
        index: of the network; the processes that share a network count on behind the cohort.
        use: what draws: starting weights, dropout, or dropout in predictions for peers. Each has a stream of its own.
    """
    return int(np.random.SeedSequence([seed, _KEYS[use], index]).generate_state(1, np.uint64)[0] >> 1)


def new_network(
    name: str,
    num_classes: int,
    *,
    size: tuple[int, int],
    seed: int,
    start: str = "",
    init_std: float | None = None,
    last_stride: int = 2,
    neck: str = "none",
    dropout: float = 0.0,
    recompute: bool = False,
    bn_momentum: float = 0.0,
    bn_eps: float = 0.0,
    what: str = "network",
) -> ReIDNetwork:
    """A network on the CPU. The global generator is left as it was.

    Args:
        name: of the backbone (see `build_backbone`).
        num_classes: rows of the head.
        size: (height, width) of the inputs.
        seed: of the starting weights.
        start: "" from scratch, "imagenet" (the library's download), or a weights file of the backbone, of which
            some layers may be missing or of another shape.
        init_std: of the authors' truncated normal initialisation of what starts anew; None: the network's own.
        last_stride: 1 keeps the resolution of the last stage.
        neck, dropout, recompute: see `ReIDNetwork`.
        bn_momentum, bn_eps: of batch norm; 0: the network's own.
        what: names the network in messages.

    Raises:
        UserError: unknown name, a size that the network cannot take, or a weights file that does not fit half of its
            backbone's tensors.
    """
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would also seed every GPU.
        torch.default_generator.manual_seed(seed)
        backbone = build_backbone(name, size, last_stride=last_stride, pretrained=start == "imagenet")
        network = ReIDNetwork(backbone, num_classes, neck=neck, dropout=dropout, recompute=recompute)
        if init_std is not None:  # of downloaded weights, what is not among them
            _truncated_normal(network.head if start == "imagenet" else network, init_std)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum, module.eps = bn_momentum or module.momentum, bn_eps or module.eps
    if start not in ("", "imagenet"):
        logger.info("%s", _load_start(network.backbone, start, f"{what} ({name}) backbone"))
    return network


def _load_start(backbone: nn.Module, path: str, what: str) -> LoadReport:
    """Load starting weights, which may lack some layers. Raises `UserError` where most of the tensors do not fit.

    Tensors are counted, not parameters: a file without one large last layer is that network's, one with the widths or
    blocks of another network is not.
    """
    report = load_partial(backbone, path, what=what)
    lacking = [*report.mismatched, *report.missing]
    total = sum(not is_counter(name) for name in backbone.state_dict())
    if 2 * len(lacking) > total:
        raise UserError(
            f"{path}: fits {total - len(lacking)} of the {total} tensors of {what} (not {lacking[0]}, ...): it belongs "
            "to another architecture; name its network in COHORT.NETWORKS, or another file or '' in COHORT.INIT_WEIGHTS"
        )
    return report


def seed_dropout(network: nn.Module, seed: int, index: int, device: str) -> torch.Generator:
    """Give the network's dropout a generator of its own, and return it for checkpointing.

    Args:
        network: on the device.
        seed, index: of `network_seed`.
        device: where the network is.
    """
    generator = torch.Generator(device).manual_seed(network_seed(seed, index, "dropout"))
    use_generator(network, generator)
    return generator


def new_peer_generator(seed: int, index: int, device: str) -> torch.Generator:
    """The generator of a network's dropout in forward passes for its peers, which leave no trace in the other one.

    Args:
        seed, index: of `network_seed`.
        device: where the network is.
    """
    return torch.Generator(device).manual_seed(network_seed(seed, index, "peer_dropout"))


def _truncated_normal(network: nn.Module, std: float) -> None:
    """The authors' initialisation: normal cut at two standard deviations for weights, zero for biases."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
