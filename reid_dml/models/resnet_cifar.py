"""ResNets for 32x32 images (He et al., "Deep Residual Learning for Image Recognition", 2016, Sec. 4.2).

6n + 2 layers: a 3x3 stem, then three stages of n blocks with 16, 32 and 64 channels. Shortcuts have no parameters
(option A): where the resolution halves they take every second pixel, and the new channels get zeros.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from reid_dml.models.backbones import register_backbone
from reid_dml.models.initialization import he_normal

DEPTHS = (20, 32, 44, 56, 110)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and the shortcut around them."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        """A block.

        Args:
            channels, out_channels: of its input and its result; never fewer behind it.
            stride: of the first convolution.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.new_channels = out_channels - channels

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out, inplace=True)

    def shortcut(self, x: Tensor) -> Tensor:
        if not self.new_channels:
            return x
        rows, columns = self.conv1.stride
        return F.pad(x[:, :, ::rows, ::columns], (0, 0, 0, 0, 0, self.new_channels))


class ResNetCifar(nn.Module):
    """Maps (N, 3, H, W) to a feature map (N, num_features, H/4, W/4); `depth` is 6n + 2."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        channels = 16
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        stages = []
        for out_channels, first_stride in ((16, 1), (32, 2), (64, 2)):
            blocks = []
            for stride in [first_stride] + [1] * ((depth - 2) // 6 - 1):
                blocks.append(BasicBlock(channels, out_channels, stride))
                channels = out_channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.num_features = channels
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(F.relu(self.bn1(self.conv1(x)), inplace=True))


def _register(depth: int) -> None:
    @register_backbone(f"resnet{depth}_cifar", stage_modules=("stages.1", "stages.2"))
    def build(size: tuple[int, int]) -> nn.Module:
        return ResNetCifar(depth)


for _depth in DEPTHS:
    _register(_depth)
