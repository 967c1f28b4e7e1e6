"""Where in an image its similarity to another comes from: maps of the last feature map, weighted by gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid_dml.models import ReIDNetwork
from reid_dml.ranking.ranked_list import RankedList

_RESOLUTION = 1e-6  # of a cosine in float32, a few times over


@dataclass(frozen=True)
class ActivationList:
    """A ranked list of one network with a map of its query and of every image.

    Attributes:
        network: what figures call it.
        entry: the query and its n nearest images.
        inputs: (1 + n, 3, H, W) float32 in [0, 1], RGB: the query and the images as the network sees them.
        maps: (1 + n, h, w) float32, each with a largest value of 1 (all 0 where no position speaks for the similarity).
    """

    network: str
    entry: RankedList
    inputs: np.ndarray
    maps: np.ndarray


def activation_maps(network: ReIDNetwork, inputs: Tensor, partners: Sequence[int]) -> np.ndarray:
    """Which positions of the last feature map speak for the similarity of each image to its partner (Grad-CAM).

    With A (C, h, w) the last feature map of an image, s the cosine similarity of its pooled feature to that of its
    partner, which is held fixed, and c a channel, Selvaraju et al. (ICCV 2017, Eq. 1 and 2) define

        map(p) = max(0, Σ_c α_c A_c(p)),    α_c = mean over positions p of ∂s / ∂A_c(p).

    Where the feature is the mean over positions, f = mean of A(p), this has a closed form. With u the partner's feature
    scaled to length 1, s = u · f / |f|, hence ∂s/∂f = (u - s f / |f|) / |f| = g, and ∂f_c/∂A_c(p) = 1 / hw, so that

        map(p) = max(0, g · A(p)) / hw.

    To first order that is what the similarity loses where position p is emptied. What is cut off by max(0, ·) speaks
    against the similarity, as much in sum, since g · f = s / |f| - s / |f| = 0; of two equal images the map is 0.

    The network comes back as it was: weights, their gradients, statistics, mode and hooks.

    Args:
        network: any whose backbone ends in a map of as many channels as its feature has entries.
        inputs: (N, 3, H, W) float32, normalised.
        partners: position in `inputs` of every image's partner.

    Returns:
        (N, h, w) float32.

    Raises:
        ValueError: a backbone without such a map, such as one of tokens, or a map of one position.
    """
    with _evaluation(network), _last_map(network.backbone) as found, torch.enable_grad():
        features = network(inputs.detach().requires_grad_()).features  # so that frozen weights have gradients too
        if not found or found[0].ndim != 4 or found[0].shape[1] != network.feature_dim:
            raise ValueError(
                "its backbone has no last feature map of several positions with the channels of the pooled feature; "
                "maps of activation need a convolutional one, and images large enough for it"
            )
        similarity = F.cosine_similarity(features, features[list(partners)].detach())
        (gradient,) = torch.autograd.grad(similarity.sum(), found[0])
    gradient[similarity > 1 - _RESOLUTION] = 0  # nothing but rounding
    weights = gradient.mean((2, 3), keepdim=True)
    return F.relu((weights * found[0].detach()).sum(1)).float().cpu().numpy()


@contextmanager
def _evaluation(network: nn.Module) -> Iterator[None]:
    """While it lasts, every part of the network is in evaluation mode."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _last_map(backbone: nn.Module) -> Iterator[list[Tensor]]:
    """A list that holds, after a pass, the last result of any module that has several positions (or tokens)."""
    found: list[Tensor] = []

    def note(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim > 2 and output[0, 0].numel() > 1:
            found[:] = [output]

    hooks = [module.register_forward_hook(note) for module in backbone.modules()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def relative_maps(maps: np.ndarray) -> np.ndarray:
    """Maps (N, h, w), each in units of its largest value; one that is 0 everywhere stays so."""
    largest = maps.max((1, 2), keepdims=True)
    return np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0)
