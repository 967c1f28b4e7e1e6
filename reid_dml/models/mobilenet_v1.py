"""MobileNetV1 (Howard et al., 2017) without its classifier, at any width, and with smaller strides for 32x32 images.

Tensor names are those of timm's `mobilenetv1_100`, so its weights load here; padding is TensorFlow's "same".
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_dml.models.activations import relu6
from reid_dml.models.backbones import register_backbone

# (channels, blocks) of the five stages behind the 3x3 stem.
_STAGES = ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2))
# Strides of the stem and each stage, by their product: a smaller one keeps the resolution at the start.
_STRIDES = {32: (2, 1, 2, 2, 2, 2), 16: (1, 1, 2, 2, 2, 2), 8: (1, 1, 1, 2, 2, 2)}
WIDTHS = (0.25, 0.5, 0.75, 1.0)


class Conv2dSame(nn.Conv2d):
    """A 3x3 convolution padded like TensorFlow's "same": at stride 2 the extra pixel goes to the right and bottom."""

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] == 1:
            return F.conv2d(x, self.weight, self.bias, 1, 1, 1, self.groups)
        # Before and behind: (0, 1) on an even side, (1, 1) on an odd one.
        x = F.pad(x, (x.shape[3] % 2, 1, x.shape[2] % 2, 1))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


class SeparableBlock(nn.Module):
    """Depthwise 3x3 and pointwise 1x1 convolution, each with batch norm and ReLU6."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        """A block.

        Args:
            channels, out_channels: of its input and its result.
            stride: of the depthwise convolution.
        """
        super().__init__()
        self.conv_dw = Conv2dSame(channels, channels, 3, stride, groups=channels, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv_pw = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = relu6(self.bn1(self.conv_dw(x)), training=self.training)
        return relu6(self.bn2(self.conv_pw(x)), training=self.training)


class MobileNetV1(nn.Module):
    """Maps (N, 3, H, W) to a feature map (N, num_features, H/stride, W/stride), rounded up.

    `width` scales every layer's channels; `stride` is 32, 16 or 8.
    """

    def __init__(self, width: float = 1.0, stride: int = 32) -> None:
        super().__init__()
        channels = max(8, round(32 * width))
        stem_stride, *first_strides = _STRIDES[stride]
        self.conv_stem = Conv2dSame(3, channels, 3, stem_stride, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        stages = []
        for (base, blocks), first_stride in zip(_STAGES, first_strides, strict=True):
            out = max(8, round(base * width))
            strides = [first_stride] + [1] * (blocks - 1)
            stage: OrderedDict[str, nn.Module] = OrderedDict()
            for number, stride in enumerate(strides):
                stage[str(number)] = SeparableBlock(channels, out, stride)
                channels = out
            stages.append(nn.Sequential(stage))
        self.blocks = nn.Sequential(*stages)
        self.num_features = channels

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(relu6(self.bn1(self.conv_stem(x)), training=self.training))


def _register(name: str, width: float, stride: int) -> None:
    @register_backbone(name, stage_modules=("blocks.3", "blocks.4"))
    def build(size: tuple[int, int]) -> torch.nn.Module:
        return MobileNetV1(width, stride)


for _width in WIDTHS:
    _register("mobilenet_v1" if _width == 1 else f"mobilenet_v1_{_width:g}", _width, 32)
_register("mobilenet_v1_cifar", 1.0, 8)
_register("mobilenet_v1_cifar_stride16", 1.0, 16)
