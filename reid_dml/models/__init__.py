"""Networks: backbones by name, and the re-identification network around them."""

from reid_dml.models.backbones import BACKBONES, build_backbone, register_backbone
from reid_dml.models.reid_network import Output, ReIDNetwork

__all__ = ["BACKBONES", "Output", "ReIDNetwork", "build_backbone", "register_backbone"]
