"""Position embeddings of vision transformers that were trained for images of another size."""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Mapping

from torch import Tensor, nn

_NAMES = re.compile(r"pos_?emb|position_?emb|rel_pos|relative_position", re.IGNORECASE)


def is_position(name: str) -> bool:
    """Whether a tensor of this name depends on where in the image something is."""
    return bool(_NAMES.search(name))


def resample_positions(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The position embeddings among tensors whose shape is not the network's, resampled to its grid.

    Absolute embeddings (1, prefix + h w, C) are interpolated as timm does for its own weights; others, such as the
    tables of a Swin transformer, by timm's own rules for the network. What cannot be resampled is left out.

    Args:
        network: a backbone.
        tensors: by the network's own names.
    """
    own = network.state_dict()
    wanted = [name for name, value in tensors.items() if _differs(value, own.get(name)) and is_position(name)]
    found = {name: value for name in wanted if (value := _resample(network, tensors[name], own[name])) is not None}
    if left := [name for name in wanted if name not in found]:
        found |= _by_timm(network, tensors, left)
    return found


def _differs(value: Tensor, own: Tensor | None) -> bool:
    return own is not None and own.shape != value.shape


def _resample(network: nn.Module, value: Tensor, own: Tensor) -> Tensor | None:
    """An absolute embedding on the network's grid; None where the shapes do not say how."""
    grid = _grid(network)
    if grid is None or value.ndim != 3 or own.ndim != 3 or value.shape[::2] != own.shape[::2] or len(value) != 1:
        return None
    prefix = own.shape[1] - grid[0] * grid[1]
    before = _rows_and_columns(value.shape[1] - prefix)
    if prefix < 0 or before is None:
        return None
    from timm.layers import resample_abs_pos_embed  # takes seconds to import: only where it is needed

    return resample_abs_pos_embed(value, list(grid), list(before), num_prefix_tokens=prefix)


def _grid(network: nn.Module) -> tuple[int, int] | None:
    """Patches of the network's input in rows and columns."""
    grid = getattr(getattr(network, "patch_embed", None), "grid_size", None)
    if isinstance(grid, tuple) and len(grid) == 2:
        return grid
    size, patch = getattr(network, "image_size", None), getattr(network, "patch_size", None)  # torchvision: squares
    return (size // patch, size // patch) if isinstance(size, int) and isinstance(patch, int) else None


def _rows_and_columns(count: int) -> tuple[int, int] | None:
    """The grid of so many patches: a square, or twice or three times as high as wide, as images of persons are."""
    for ratio in (1, 2, 3):
        columns = math.isqrt(max(count, 0) // ratio)
        if columns and count == ratio * columns**2:
            return ratio * columns, columns
    return None


def _by_timm(network: nn.Module, tensors: Mapping[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    convert = getattr(sys.modules.get(type(network).__module__), "checkpoint_filter_fn", None)
    if convert is None or not type(network).__module__.startswith("timm."):
        return {}
    try:
        with warnings.catch_warnings():  # of its own ways with torch
            warnings.simplefilter("ignore")
            converted = convert(dict(tensors), network)
    except Exception:  # it takes the files of its own networks for granted
        return {}
    own = network.state_dict()
    return {name: converted[name] for name in names if name in converted and converted[name].shape == own[name].shape}
