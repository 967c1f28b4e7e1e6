"""The two files by which Roboflow's package `reid` knows a model: `reid_config.json` and `weights.safetensors`.

It holds one network, and computes the feature as the architecture itself does: no neck behind it, no mirror images,
no architecture of ours beside OSNet. It resizes images by itself, straight to the size of the input.
"""

from __future__ import annotations

from typing import Any

from yacs.config import CfgNode

from reid_dml.config import per_network
from reid_dml.models import BACKBONES, ReIDNetwork
from reid_dml.models.torchvision_backbones import PREFIX

_OSNET = ("osnet_x1_0", "osnet_x0_75", "osnet_x0_5", "osnet_x0_25")


def roboflow_architecture(cfg: CfgNode, index: int, network: ReIDNetwork) -> tuple[str, str]:
    """What `reid` calls a network's architecture, and, where it knows none that computes the same, why.

    Args:
        cfg: the networks' config.
        index: of the network.
        network: the network.
    """
    name = cfg.COHORT.NETWORKS[index]
    if name in _OSNET:
        architecture = name
    elif name in BACKBONES.names() or name.startswith(PREFIX):
        return "", f"it knows no {name}"
    else:
        architecture = f"timm:{name}"
    different = {
        "MODEL.NECK": cfg.MODEL.NECK != "none",
        "MODEL.LAST_STRIDE": cfg.MODEL.LAST_STRIDE != 2,
        "MODEL.BN_EPS": per_network(cfg, "MODEL.BN_EPS")[index] != 0,
        "INPUT.CROP": cfg.INPUT.CROP != "none",
        "TEST.FLIP": cfg.TEST.FLIP,
    }
    if options := [key for key, differs in different.items() if differs]:
        return "", f"it has nothing like {' and '.join(options)} as they are here"
    if architecture.startswith("timm:") and (why := _not_as_timm_builds_it(name, network)):
        return "", why
    return architecture, ""


def _not_as_timm_builds_it(name: str, network: ReIDNetwork) -> str:
    import timm

    theirs = timm.create_model(name, num_classes=0)
    shapes = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    ours = {key: tuple(value.shape) for key, value in network.backbone.state_dict().items()}
    return "" if shapes == ours else f"it builds {name} for images of another size"


def roboflow_config(cfg: CfgNode, architecture: str) -> dict[str, Any]:
    """The content of `reid_config.json`."""
    return {
        "architecture": architecture,
        "preprocessing": {
            "input_size": list(cfg.INPUT.SIZE),
            "mean": list(cfg.INPUT.MEAN),
            "std": list(cfg.INPUT.STD),
            "interpolation": "bilinear",
            "to_rgb": True,
            "resize_mode": "stretch",
        },
    }
