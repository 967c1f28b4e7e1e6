"""fast-reid's ResNets: torchvision's, but for a first pooling without padding, so that its windows lie elsewhere.

Its weights fit torchvision's and timm's ResNets of the same depth, tensor by tensor, and give other features there.
"""

from __future__ import annotations

from torch import nn

from reid_dml.models.backbones import register_backbone
from reid_dml.models.torchvision_backbones import PREFIX, build_torchvision

DEPTHS = (18, 34, 50, 101)


def _register(depth: int) -> None:
    @register_backbone(f"fastreid_resnet{depth}", stage_modules=("layer3", "layer4"))
    def build(size: tuple[int, int]) -> nn.Module:
        network = build_torchvision(f"{PREFIX}resnet{depth}", size, pretrained=False)
        network.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
        network.num_features = 512 if depth < 50 else 2048  # type: ignore[assignment]
        return network


for _depth in DEPTHS:
    _register(_depth)
