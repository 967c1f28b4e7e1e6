"""One network from images to the feature: what is exported."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_dml.models import ReIDNetwork


class FeatureGraph(nn.Module):
    """Maps images (N, 3, H, W) float32 to features (N, D), rows of length 1, as `FeatureExtractor` computes them."""

    def __init__(
        self,
        networks: Mapping[int, ReIDNetwork],
        *,
        ensemble: str = "normalized",
        flip: bool = False,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> None:
        """A graph of copies of the networks, in evaluation mode and without their heads.

        Args:
            networks: by index; their features stand side by side in this order.
            ensemble: how, see `features.ensemble.concatenate_features`.
            flip: a network's feature is the mean over the image and its mirror image (`TEST.FLIP`).
            mean, std: of the channels, for images in [0, 1]; empty: the images are normalised already.
        """
        super().__init__()
        self.networks = nn.ModuleList(_headless(networks[index]) for index in sorted(networks))
        self.ensemble, self.flip, self.normalises = ensemble, flip, bool(mean)
        self.scale: Tensor
        self.shift: Tensor
        if self.normalises:
            deviation = torch.tensor(std, dtype=torch.float64)[:, None, None]
            self.register_buffer("scale", (1 / deviation).float())
            self.register_buffer("shift", (-torch.tensor(mean, dtype=torch.float64)[:, None, None] / deviation).float())
        self.eval().requires_grad_(False)  # whose exports take half the time

    def forward(self, images: Tensor) -> Tensor:
        if self.normalises:
            images = images * self.scale + self.shift
        parts = []
        for network in self.networks:
            feature = network(images).features
            if self.flip:
                feature = (feature + network(images.flip(3)).features) / 2
            parts.append(F.normalize(feature, eps=1e-30) if self.ensemble == "normalized" else feature)
        return F.normalize(torch.cat(parts, 1), eps=1e-30)


def _headless(network: ReIDNetwork) -> ReIDNetwork:
    network = copy.deepcopy(network).to("cpu", torch.float32)
    network.head, network.recompute = nn.Identity(), False  # type: ignore[assignment]
    return network
