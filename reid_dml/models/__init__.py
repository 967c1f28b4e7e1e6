"""Networks: backbones by name, and the network of pooled feature and head around them."""

from reid_dml.models.backbones import BACKBONES, build_backbone, known_names, register_backbone
from reid_dml.models.reid_network import Output, ReIDNetwork

__all__ = ["BACKBONES", "Output", "ReIDNetwork", "build_backbone", "known_names", "register_backbone"]
