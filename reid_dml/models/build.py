"""From a config to a cohort's networks, each from its own seed."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from yacs.config import CfgNode

from reid_dml.config import per_network
from reid_dml.models.backbones import build_backbone
from reid_dml.models.reid_network import ReIDNetwork, use_generator
from reid_dml.models.weights import load_partial


def network_seed(seed: int, index: int, *, for_peers: bool = False) -> int:
    """Seed of network `index` of a cohort; it does not depend on the cohort's size or the process."""
    key = [seed, 5 if for_peers else 3, index]
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def build_network(cfg: CfgNode, index: int, num_classes: int, *, initialise: bool = True) -> ReIDNetwork:
    """Network `index` of `COHORT.NETWORKS`, on the CPU, from its own seed.

    `initialise=False` skips the starting weights, for a network whose weights are about to be loaded. The global
    generator is left as it was.
    """
    name = cfg.COHORT.NETWORKS[index]
    start = per_network(cfg, "COHORT.INIT_WEIGHTS")[index] if initialise else ""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would also seed every GPU.
        torch.default_generator.manual_seed(network_seed(cfg.SEED, index))
        backbone = build_backbone(
            name, tuple(cfg.INPUT.SIZE), last_stride=cfg.MODEL.LAST_STRIDE, pretrained=start == "imagenet"
        )
        network = ReIDNetwork(
            backbone,
            num_classes,
            neck=cfg.MODEL.NECK,
            dropout=cfg.MODEL.DROPOUT,
            recompute=cfg.TRAIN.RECOMPUTE,
        )
        if cfg.MODEL.INIT == "truncated_normal" and start != "imagenet":
            _truncated_normal(network, cfg.MODEL.INIT_STD)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum, module.eps = cfg.MODEL.BN_MOMENTUM or module.momentum, cfg.MODEL.BN_EPS or module.eps
    if start not in ("", "imagenet"):
        print(load_partial(network.backbone, start, what=f"network {index} ({name}) backbone"))
    return network


def seed_dropout(network: nn.Module, seed: int, index: int, device: str) -> torch.Generator:
    """Give the network's dropout a generator of its own, and return it for checkpointing."""
    generator = torch.Generator(device).manual_seed(network_seed(seed, index))
    use_generator(network, generator)
    return generator


def new_peer_generator(seed: int, index: int, device: str) -> torch.Generator:
    """The generator of a network's dropout in predictions that must leave no trace in the other one."""
    return torch.Generator(device).manual_seed(network_seed(seed, index, for_peers=True))


def _truncated_normal(network: nn.Module, std: float) -> None:
    """The authors' initialisation: normal cut at two standard deviations for weights, zero for biases."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
