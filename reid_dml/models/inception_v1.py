"""InceptionV1 (Szegedy et al., "Going Deeper with Convolutions", 2015) with batch norm, without auxiliary heads.

Tensor names are those of torchvision's `googlenet`, so its weights load here. Like it and TensorFlow's network, the
third branch of a module has a 3x3 convolution where the paper has 5x5; names ending in `_5x5` have the paper's.
For 32x32 images the stem keeps the resolution: a total stride of 8 instead of 32, with the same parameters.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_dml.errors import UserError
from reid_dml.models.backbones import register_backbone
from reid_dml.models.initialization import he_normal

# Table 1 of the paper: 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, pool projection.
_MODULES = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "maxpool3": None,
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "maxpool4": None,
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}


class ConvBlock(nn.Module):
    """A convolution that keeps the resolution at stride 1, batch norm and ReLU."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        """A block.

        Args:
            channels, out_channels: of its input and its result.
            kernel, stride: of the convolution, square.
        """
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class InceptionModule(nn.Module):
    """Four branches side by side: 1x1, 3x3, "5x5", and a projected 3x3 max pooling."""

    def __init__(self, channels: int, widths: tuple[int, int, int, int, int, int], kernel: int) -> None:
        """A module.

        Args:
            channels: of its input.
            widths: of its convolutions, in the order of Table 1.
            kernel: size of the third branch's second convolution.
        """
        super().__init__()
        one, reduced3, three, reduced5, five, pooled = widths
        self.branch1 = ConvBlock(channels, one, 1)
        self.branch2 = nn.Sequential(ConvBlock(channels, reduced3, 1), ConvBlock(reduced3, three, 3))
        self.branch3 = nn.Sequential(ConvBlock(channels, reduced5, 1), ConvBlock(reduced5, five, kernel))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), ConvBlock(channels, pooled, 1))
        self.out_channels = one + three + five + pooled

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class InceptionV1(nn.Sequential):
    """Maps (N, 3, H, W) to a feature map (N, 1024, H/stride, W/stride), rounded up.

    `stride` is 32 (for images of 224x224) or 8 (32x32); `kernel` is that of the "5x5" branches.
    """

    def __init__(self, stride: int = 32, kernel: int = 3) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv1"] = ConvBlock(3, 64, 7, 2 if stride == 32 else 1)
        if stride == 32:
            layers["maxpool1"] = _halve(3)
        layers["conv2"] = ConvBlock(64, 64, 1)
        layers["conv3"] = ConvBlock(64, 192, 3)
        layers["maxpool2"] = _halve(3)
        channels = 192
        for name, widths in _MODULES.items():
            if widths is None:
                layers[name] = _halve(3 if name == "maxpool3" else 2)
            else:
                layers[name] = module = InceptionModule(channels, widths, kernel)
                channels = module.out_channels
        super().__init__(layers)
        self.num_features = channels
        he_normal(self)


def _halve(window: int) -> nn.Module:
    return nn.MaxPool2d(window, 2, ceil_mode=True)


def _register(name: str, stride: int, kernel: int) -> None:
    @register_backbone(name, stage_modules=("inception4e", "inception5b"))
    def build(size: tuple[int, int]) -> nn.Module:
        if stride == 32 and min(size) < 15:
            raise UserError(
                f"COHORT.NETWORKS: nothing is left of inputs of {size[0]}x{size[1]} behind the poolings of {name}; "
                "they must have 15x15 pixels, or use inception_v1_cifar"
            )
        return InceptionV1(stride, kernel)


for _name, _stride in (("inception_v1", 32), ("inception_v1_cifar", 8)):
    _register(_name, _stride, 3)
    _register(f"{_name}_5x5", _stride, 5)
