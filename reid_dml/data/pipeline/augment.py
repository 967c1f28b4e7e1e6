"""The one place where stored uint8 images become network inputs, in training and in evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode


@dataclass(frozen=True)
class AugmentSpec:
    """What to do with a batch of stored images."""

    size: tuple[int, int]  # height, width of the result
    mean: tuple[float, float, float]  # of RGB in [0, 1]
    std: tuple[float, float, float]
    flip: float = 0.0  # probability of a horizontal flip

    # Every operation has its own column of the draws, used or not, so that switching one of them on or off leaves
    # the others' random numbers as they were.
    num_draws = 1

    @staticmethod
    def of(cfg: CfgNode) -> AugmentSpec:
        """The training augmentation of a config."""
        return AugmentSpec(tuple(cfg.INPUT.SIZE), tuple(cfg.INPUT.MEAN), tuple(cfg.INPUT.STD), cfg.INPUT.FLIP)


def augment(images: Tensor, draws: Tensor | None, spec: AugmentSpec) -> Tensor:
    """Augment, resize and normalise a batch.

    Pure: the randomness comes in as `draws`, uniform in [0, 1); the same draws give the same batch on every device.

    Args:
        images: (N, 3, H0, W0) uint8 RGB at the stored size.
        draws: (N, spec.num_draws) float32, or None for evaluation: no random operation at all.
        spec: what to do.

    Returns:
        (N, 3, *spec.size) float32.
    """
    if draws is not None and spec.flip > 0:
        flip = draws[:, 0] < spec.flip
        images = torch.where(flip[:, None, None, None], images.flip(3), images)
    result = images.to(torch.float32)
    if tuple(result.shape[2:]) != spec.size:
        result = F.interpolate(result, size=spec.size, mode="bilinear", align_corners=False)
    # One multiply-add a channel: (x / 255 - mean) / std.
    scale = [1 / (255 * std) for std in spec.std]
    shift = [-mean / std for mean, std in zip(spec.mean, spec.std, strict=True)]
    return result * _per_channel(scale, result) + _per_channel(shift, result)


def _per_channel(values: list[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]
