"""Fingerprints of models: features may be compared where they are equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import torch
from yacs.config import CfgNode

from reid_dml.config import all_options, default_config, per_network
from reid_dml.config.reading import flatten
from reid_dml.config.schema import get_option
from reid_dml.data.pipeline.augment import EVALUATION_OPTIONS
from reid_dml.models import ReIDNetwork
from reid_dml.models.exported import ExportedNetwork
from reid_dml.runs.networks import INPUT_OPTIONS, network_options

# Hashed whatever their value, in this order. An option that came later is hashed only where it is not at its default:
# features made before it was there keep their fingerprint.
_FIRST = (
    "INPUT.SIZE",
    "INPUT.MEAN",
    "INPUT.STD",
    "DATA.STORED_SIZE",
    "COHORT.NETWORKS",
    "MODEL.LAST_STRIDE",
    "MODEL.BN_EPS",
    "TEST.FLIP",
)
_OF_SEVERAL = "TEST.ENSEMBLE"  # says nothing of a single network


def fingerprint(cfg: CfgNode, networks: Mapping[int, ReIDNetwork]) -> str:
    """A hash of all that features follow from beside the images.

    These are every network's name, weights and statistics in the order of their index, and the options that change
    features without changing weights.

    Args:
        cfg: the config the networks are used with.
        networks: by their index in `COHORT.NETWORKS`.

    Returns:
        32 hexadecimal digits.
    """
    for network in networks.values():
        if isinstance(network, ExportedNetwork):  # says itself of which model it is
            own = network.about["fingerprint"]
            return sha256(f"{own} mirrored".encode()).hexdigest()[:32] if cfg.TEST.FLIP else own
    options, defaults, digest = flatten(cfg), flatten(default_config()), sha256()
    counted = {*INPUT_OPTIONS, *EVALUATION_OPTIONS.values(), *network_options(cfg)}
    later = [key for key in sorted(counted.difference(_FIRST)) if options[key] != defaults[key]]
    keys = [*_FIRST, *([_OF_SEVERAL] if len(networks) > 1 else []), *later]
    digest.update(repr([(key, _value(cfg, key, sorted(networks))) for key in keys]).encode())
    for index in sorted(networks):
        digest.update(f"\n{cfg.COHORT.NETWORKS[index]}".encode())
        for name, tensor in sorted(networks[index].state_dict().items()):
            values = tensor.detach().cpu().contiguous()
            digest.update(f"\n{name} {values.dtype} {tuple(values.shape)}\n".encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


def _value(cfg: CfgNode, key: str, indices: Sequence[int]) -> Any:
    """What is hashed of an option: of one of each network the networks' own, one value where they agree."""
    if not all_options()[key].per_network:
        return get_option(cfg, key)
    own = [per_network(cfg, key)[index] for index in indices]
    return own[0] if len(set(own)) == 1 else own
