"""Wide residual networks for 32x32 images (Zagoruyko and Komodakis, "Wide Residual Networks", 2016).

`wrn_28_10` has 6n + 4 = 28 layers and 10 times the channels 16, 32 and 64 of a ResNet. Batch norm and ReLU stand in
front of each convolution; where the channels change, the shortcut is a 1x1 convolution behind the same ReLU.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from reid_dml.models.backbones import register_backbone
from reid_dml.models.initialization import he_normal
from reid_dml.models.reid_network import Dropout

# (depth, widening factor): the paper's, and small ones common in studies of distillation.
VARIANTS = ((16, 1), (16, 2), (16, 4), (16, 8), (22, 8), (28, 10), (28, 12), (40, 1), (40, 2), (40, 4), (40, 8))


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each behind batch norm and ReLU, dropout between them, and the shortcut around them."""

    def __init__(self, channels: int, out_channels: int, stride: int, dropout: float) -> None:
        """A block.

        Args:
            channels, out_channels: of its input and its result.
            stride: of the first convolution.
            dropout: probability of dropping an entry between the convolutions.
        """
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.dropout = Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        changes = channels != out_channels
        self.shortcut = nn.Conv2d(channels, out_channels, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x), inplace=True)
        out = F.relu(self.bn2(self.conv1(active)), inplace=True)
        out = self.conv2(self.dropout(out))
        return out + (x if self.shortcut is None else self.shortcut(active))


class WideResNet(nn.Module):
    """Maps (N, 3, H, W) to a feature map (N, num_features, H/4, W/4)."""

    def __init__(self, depth: int, width: int, dropout: float = 0.0) -> None:
        """A network.

        Args:
            depth: number of layers, 6n + 4.
            width: times the channels 16, 32 and 64.
            dropout: probability of dropping an entry between the convolutions of a block.
        """
        super().__init__()
        channels = 16
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        stages = []
        for base, first_stride in ((16, 1), (32, 2), (64, 2)):
            blocks = []
            for stride in [first_stride] + [1] * ((depth - 4) // 6 - 1):
                blocks.append(WideBlock(channels, base * width, stride, dropout))
                channels = base * width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.bn = nn.BatchNorm2d(channels)
        self.num_features = channels
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.stages(self.conv1(x))), inplace=True)


def _register(name: str, depth: int, width: int, dropout: float = 0.0) -> None:
    @register_backbone(name, stage_modules=("stages.1", "stages.2"))
    def build(size: tuple[int, int]) -> nn.Module:
        return WideResNet(depth, width, dropout)


for _depth, _width in VARIANTS:
    _register(f"wrn_{_depth}_{_width}", _depth, _width)
_register("wrn_28_10_dropout", 28, 10, dropout=0.3)  # the paper's probability for CIFAR
