"""Fingerprints of models: features may be compared where they are equal."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import torch
from yacs.config import CfgNode

from reid_dml.config import default_config
from reid_dml.config.reading import flatten
from reid_dml.data.pipeline.augment import EVALUATION_OPTIONS
from reid_dml.models import ReIDNetwork
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
    options, defaults, digest = flatten(cfg), flatten(default_config()), sha256()
    counted = {*INPUT_OPTIONS, *EVALUATION_OPTIONS.values(), *network_options(cfg)}
    later = [key for key in sorted(counted.difference(_FIRST)) if options[key] != defaults[key]]
    keys = [*_FIRST, *([_OF_SEVERAL] if len(networks) > 1 else []), *later]
    digest.update(repr([(key, options[key]) for key in keys]).encode())
    for index in sorted(networks):
        digest.update(f"\n{cfg.COHORT.NETWORKS[index]}".encode())
        for name, tensor in sorted(networks[index].state_dict().items()):
            values = tensor.detach().cpu().contiguous()
            digest.update(f"\n{name} {values.dtype} {tuple(values.shape)}\n".encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:32]
