"""OSNet (Zhou et al., "Omni-Scale Feature Learning for Person Re-Identification", ICCV 2019) at four widths.

Tensor names are those of torchreid, so its weights load here: of ImageNet, Market-1501 or MSMT17 training alike. The
backbone ends behind the paper's fully connected layer; torchreid's `classifier` is our head.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from reid_dml.models.backbones import register_backbone

# Channels of the stem and the three stages (Table 2 of the paper, times the width).
WIDTHS = {
    "osnet_x1_0": (64, 256, 384, 512),
    "osnet_x0_75": (48, 192, 288, 384),
    "osnet_x0_5": (32, 128, 192, 256),
    "osnet_x0_25": (16, 64, 96, 128),
}
FEATURE_DIM = 512  # of every width
_STREAMS = "abcd"  # with 1 to 4 light convolutions: receptive fields of 3, 5, 7 and 9


class ConvBlock(nn.Module):
    """A convolution without bias, batch norm and, unless it is linear, ReLU."""

    def __init__(
        self, channels: int, out_channels: int, kernel: int = 1, stride: int = 1, linear: bool = False
    ) -> None:
        """A block.

        Args:
            channels, out_channels: of its input and its result.
            kernel, stride: of the convolution, square.
            linear: no ReLU.
        """
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return x if self.linear else F.relu(x, inplace=True)


class LightConv(nn.Module):
    """The paper's Lite 3x3: a 1x1 convolution, a depthwise 3x3 convolution, batch norm and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv2(self.conv1(x))), inplace=True)


class Gate(nn.Module):
    """The aggregation gate: weights of the channels from their means, by a network that all streams share."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * weights.sigmoid()


class OmniScaleBlock(nn.Module):
    """A residual bottleneck of four streams, of 1 to 4 light convolutions, added up behind the gate (Figure 4)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        middle = out_channels // 4
        self.conv1 = ConvBlock(channels, middle)
        self.conv2a = LightConv(middle)
        for depth, stream in enumerate(_STREAMS[1:], start=2):
            self.add_module(f"conv2{stream}", nn.Sequential(*(LightConv(middle) for _ in range(depth))))
        self.gate = Gate(middle)
        self.conv3 = ConvBlock(middle, out_channels, linear=True)
        changes = channels != out_channels
        self.downsample = ConvBlock(channels, out_channels, linear=True) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(x)
        mixed = self.gate(self.conv2a(inner))
        for stream in _STREAMS[1:]:
            mixed = mixed + self.gate(getattr(self, f"conv2{stream}")(inner))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.conv3(mixed) + shortcut)


class OSNet(nn.Module):
    """Maps images (N, 3, H, W) to features (N, 512), of a last map of 1/16 of their height and width."""

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        """A network.

        Args:
            channels: of the stem and the three stages.
        """
        super().__init__()
        stem, *widths = channels
        self.conv1 = ConvBlock(3, stem, 7, 2)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.conv2 = _stage(stem, widths[0], halves=True)
        self.conv3 = _stage(widths[0], widths[1], halves=True)
        self.conv4 = _stage(widths[1], widths[2], halves=False)
        self.conv5 = ConvBlock(widths[2], widths[2])
        self.fc = nn.Sequential(nn.Linear(widths[2], FEATURE_DIM), nn.BatchNorm1d(FEATURE_DIM), nn.ReLU(inplace=True))
        self.num_features = FEATURE_DIM
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.conv1(images))
        x = self.conv5(self.conv4(self.conv3(self.conv2(x))))
        return self.fc(x.mean((2, 3)))


def _stage(channels: int, out_channels: int, *, halves: bool) -> nn.Sequential:
    blocks: list[nn.Module] = [
        OmniScaleBlock(channels, out_channels),
        OmniScaleBlock(out_channels, out_channels),
    ]
    if halves:
        blocks.append(nn.Sequential(ConvBlock(out_channels, out_channels), nn.AvgPool2d(2)))
    return nn.Sequential(*blocks)


def _register(name: str) -> None:
    # The last map has 1/16 of the resolution, and no stage behind it halves that: conv3 ends with a pooling.
    @register_backbone(name, stage_modules=("conv3", "conv5"))
    def build(size: tuple[int, int]) -> nn.Module:
        return OSNet(WIDTHS[name])


for _name in WIDTHS:
    _register(_name)
