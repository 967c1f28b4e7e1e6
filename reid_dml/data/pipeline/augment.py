"""The one place where stored uint8 images become network inputs, in training and in evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F
from yacs.config import CfgNode

# Every operation has its own columns of the draws, used or not, so that switching one of them on or off leaves the
# others' random numbers as they were. New columns go to the end, for the same reason.
_FLIP = 0
_CROP = slice(1, 3)  # top, left
_BRIGHTNESS, _CONTRAST, _SATURATION = 3, 4, 5
_ERASE = 6
_RECTANGLE = slice(7, 11)  # area, aspect ratio, top, left
_WINDOW = slice(11, 15)  # likewise, of the random resized crop

_LUMA = (0.299, 0.587, 0.114)  # grey value of RGB (ITU-R BT.601), as PIL and torchvision have it


@dataclass(frozen=True)
class AugmentSpec:
    """What to do with a batch of stored images; every random operation is off by default."""

    size: tuple[int, int]  # height, width of the result
    mean: tuple[float, float, float]  # of RGB in [0, 1]
    std: tuple[float, float, float]
    flip: float = 0.0  # probability of a horizontal flip
    pad: int = 0  # pixels added on each side before a random crop back to the size
    pad_mode: str = "zeros"  # zeros (black) | reflect
    brightness: float = 0.0  # factor drawn from [1 - b, 1 + b]; likewise the next two
    contrast: float = 0.0
    saturation: float = 0.0
    erase: float = 0.0  # probability of erasing a rectangle
    erase_area: tuple[float, float] = (0.02, 0.4)  # least and largest share of the image
    erase_aspect: tuple[float, float] = (0.3, 3.33)  # least and largest height / width
    crop: str = "none"  # none (the whole image is resized) | inception (random window; the middle in evaluation)
    crop_area: tuple[float, float] = (0.08, 1.0)  # least and largest share of the stored image
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)  # least and largest height / width
    test_flip: bool = False  # in evaluation, whether outputs are the mean over the image and its mirror image
    # In evaluation, whether networks go through torch.compile: auto, True or False. It changes nothing but rounding, so
    # it is no part of what is shown, and hashed, of the rest.
    test_compile: str = field(default="auto", repr=False)

    num_draws = 15  # columns of the draws

    @staticmethod
    def of(cfg: CfgNode) -> AugmentSpec:
        """The augmentation of a config."""
        options = cfg.INPUT
        return AugmentSpec(
            tuple(options.SIZE),
            tuple(options.MEAN),
            tuple(options.STD),
            flip=options.FLIP,
            pad=options.PAD,
            pad_mode=options.PAD_MODE,
            brightness=options.BRIGHTNESS,
            contrast=options.CONTRAST,
            saturation=options.SATURATION,
            erase=options.ERASE,
            erase_area=tuple(options.ERASE_AREA),
            erase_aspect=tuple(options.ERASE_ASPECT),
            crop=options.CROP,
            crop_area=tuple(options.CROP_AREA),
            crop_aspect=tuple(options.CROP_ASPECT),
            test_flip=cfg.TEST.FLIP,
            test_compile=cfg.TEST.COMPILE,
        )

    def evaluation(self) -> AugmentSpec:
        """Only what has an effect without draws: the fields of `EVALUATION_OPTIONS`, all others at their defaults."""
        return AugmentSpec(**{name: getattr(self, name) for name in EVALUATION_OPTIONS})


# Fields that inputs in evaluation depend on, and their options. Everything else is random augmentation in training.
EVALUATION_OPTIONS = {
    "size": "INPUT.SIZE",
    "mean": "INPUT.MEAN",
    "std": "INPUT.STD",
    "crop": "INPUT.CROP",
    "test_flip": "TEST.FLIP",
}


def augment(images: Tensor, draws: Tensor | None, spec: AugmentSpec) -> Tensor:
    """Augment, resize and normalise a batch.

    In this order: flip, brightness, contrast, saturation (at the stored size), resize or resized crop, pad and crop,
    normalise, erase.
    Pure: the randomness comes in as `draws`, uniform in [0, 1); the same draws give the same batch on every device.

    Args:
        images: (N, 3, H0, W0) uint8 RGB at the stored size.
        draws: (N, spec.num_draws) float32, or None for evaluation: no random operation at all.
        spec: what to do.

    Returns:
        (N, 3, *spec.size) float32.
    """
    if draws is not None and spec.flip > 0:
        # Chosen bit by bit: on CPUs several times as fast as torch.where of bytes.
        flip = (draws[:, _FLIP] < spec.flip).to(torch.uint8).neg()  # all bits or none
        images = images ^ ((images ^ images.flip(3)) & flip[:, None, None, None])
    result = images.to(torch.float32)
    if draws is not None:
        result = _jitter_colours(result, draws, spec)
    if spec.crop == "inception":
        result = _centre_crop(result, spec.size) if draws is None else _resized_crop(result, draws, spec)
    if tuple(result.shape[2:]) != spec.size:
        result = F.interpolate(result, size=spec.size, mode="bilinear", align_corners=False)
    if draws is not None and spec.pad > 0:
        result = _pad_and_crop(result, draws, spec)
    # One multiply-add a channel: (x / 255 - mean) / std.
    scale = [1 / (255 * std) for std in spec.std]
    shift = [-mean / std for mean, std in zip(spec.mean, spec.std, strict=True)]
    result = result * _per_channel(scale, result) + _per_channel(shift, result)
    if draws is not None and spec.erase > 0:
        # After normalisation 0 is the mean colour.
        result = result.masked_fill(erased_pixels(draws, spec)[:, None], 0.0)
    return result


def _jitter_colours(images: Tensor, draws: Tensor, spec: AugmentSpec) -> Tensor:
    """Blend with black, with the image's mean grey value, with the grey image; (N, 3, H, W) float32 in [0, 255].

    The factors are torchvision's `ColorJitter`'s; its order of the three is random, here it is fixed.
    """
    if spec.brightness > 0:
        images = _blend(images, torch.zeros_like(images[:, :1]), draws[:, _BRIGHTNESS], spec.brightness)
    if spec.contrast > 0:
        images = _blend(images, _grey(images).mean((1, 2, 3), keepdim=True), draws[:, _CONTRAST], spec.contrast)
    if spec.saturation > 0:
        images = _blend(images, _grey(images), draws[:, _SATURATION], spec.saturation)
    return images


def _blend(images: Tensor, others: Tensor, draws: Tensor, strength: float) -> Tensor:
    """factor * image + (1 - factor) * other, cut to [0, 255]; the factor is uniform in [1 - strength, 1 + strength]."""
    factor = (1 + strength * (2 * draws - 1))[:, None, None, None]
    return (others + factor * (images - others)).clamp(0, 255)


def _grey(images: Tensor) -> Tensor:
    return (images * _per_channel(list(_LUMA), images)).sum(1, keepdim=True)


def _pad_and_crop(images: Tensor, draws: Tensor, spec: AugmentSpec) -> Tensor:
    """Pad every side, then cut a window of the old size at a random place: (N, 3, H, W) to the same shape."""
    height, width = spec.size
    mode = {"zeros": "constant", "reflect": "reflect"}[spec.pad_mode]
    padded = F.pad(images, (spec.pad,) * 4, mode=mode)
    top, left = (draws[:, _CROP] * (2 * spec.pad + 1)).long().unbind(1)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: (N, 3, top, left, H, W)
    return windows[torch.arange(len(images), device=images.device), :, top, left]


def _centre_crop(images: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle of the images, at most of this size."""
    top, left = (max(0, (stored - wanted) // 2) for stored, wanted in zip(images.shape[2:], size, strict=True))
    return images[:, :, top : top + size[0], left : left + size[1]]


def _resized_crop(images: Tensor, draws: Tensor, spec: AugmentSpec) -> Tensor:
    """A random window of each image, resized bilinearly to the size (Szegedy et al., "Going Deeper", 2015).

    The same as cutting every window out and resizing it on its own: no pixel outside it has a say.
    """
    stored = (images.shape[2], images.shape[3])
    window = random_rectangles(draws[:, _WINDOW], stored, spec.crop_area, spec.crop_aspect)
    axes = []
    for start, length, wanted, limit in zip(window[::2], window[1::2], spec.size, stored, strict=True):
        scale = (length / wanted)[:, None]
        places = (torch.arange(wanted, device=images.device, dtype=torch.float64) + 0.5) * scale - 0.5
        places = places.clamp(min=0).minimum(length[:, None] - 1) + start[:, None]
        axes.append(((2 * places + 1) / limit - 1).float())  # grid_sample's coordinates
    rows, columns = axes
    grid = torch.stack(
        [columns[:, None].expand(-1, len(rows[0]), -1), rows[:, :, None].expand(-1, -1, len(columns[0]))], dim=3
    )
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def erased_pixels(draws: Tensor, spec: AugmentSpec) -> Tensor:
    """Where random erasing (Zhong et al., "Random Erasing Data Augmentation", AAAI 2020) erases: (N, H, W) bool.

    Area and aspect ratio are uniform in their ranges. Algorithm 1 draws anew until the rectangle fits; here the
    aspect ratio is uniform among those at which a rectangle of the area drawn fits, and so is the place.

    Args:
        draws: (N, spec.num_draws) float32, uniform in [0, 1).
        spec: its size and erase options.
    """
    height, width = spec.size
    top, rows, left, columns = random_rectangles(draws[:, _RECTANGLE], spec.size, spec.erase_area, spec.erase_aspect)
    inside_rows, inside_columns = _interval(top, rows, height), _interval(left, columns, width)
    chosen = draws[:, _ERASE] < spec.erase
    return chosen[:, None, None] & inside_rows[:, :, None] & inside_columns[:, None, :]


def random_rectangles(
    draws: Tensor, size: tuple[int, int], areas: tuple[float, float], aspects: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random rectangles inside images of a size: the area is uniform, the aspect ratio uniform among those that fit.

    Args:
        draws: (N, 4) float32, uniform in [0, 1): of area, aspect ratio, top and left.
        size: height and width of the images.
        areas: least and largest share of the image.
        aspects: least and largest height / width.

    Returns:
        top, rows, left, columns: whole numbers as (N,) float64.
    """
    height, width = size
    # Only roots and products in float64, which every device rounds alike.
    share, position, top, left = draws.double().unbind(1)
    area = height * width * (areas[0] + share * (areas[1] - areas[0]))
    low, high = ((area / width**2).clamp(min=limit).minimum(height**2 / area) for limit in aspects)
    aspect = low + position * (high - low)
    rows = (area * aspect).sqrt().round().clamp(1, height)
    columns = (area / aspect).sqrt().round().clamp(1, width)
    return (top * (height - rows + 1)).floor(), rows, (left * (width - columns + 1)).floor(), columns


def _interval(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Which of 0 ... size - 1 lie in [start, start + length): (N, size) bool."""
    places = torch.arange(size, device=start.device)
    return (places >= start[:, None]) & (places < (start + length)[:, None])


def _per_channel(values: list[float], like: Tensor) -> Tensor:
    if torch.compiler.is_compiling():  # numbers inside the kernel, without a copy from the CPU
        return torch.stack([torch.full((), value, dtype=like.dtype, device=like.device) for value in values])[
            :, None, None
        ]
    return _kept(tuple(values), like.dtype, like.device)


@lru_cache(maxsize=64)
def _kept(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Constants for the channels, (C, 1, 1), cached on the device: a copy in every step would make it wait."""
    with torch.inference_mode(False):  # kept for training too, even if evaluation comes first
        return torch.tensor(values, dtype=dtype, device=device)[:, None, None]
