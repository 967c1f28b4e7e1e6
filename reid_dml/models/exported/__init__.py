"""Networks in exported files, as one network from images to features: ONNX, torch.export, OpenVINO.

A file knows what it is: `about` holds texts by name, those of `ABOUT` below, and the config its features follow from.
Runtimes are imported where a file of theirs is opened.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from reid_dml.errors import UserError
from reid_dml.extras import check
from reid_dml.models.reid_network import Output
from reid_dml.paths import require_file

# What every exported file says of itself.
ABOUT = {
    "reid_dml": "version of reid_dml that wrote it",
    "height": "of the images, in pixels",
    "width": "of the images, in pixels",
    "feature_width": "entries of a feature; rows have length 1",
    "colour": "order of the channels: RGB",
    "input": "what the values of the images must be",
    "normalisation": "inside or outside: whether the graph subtracts the mean and divides by the deviation",
    "mean": "of the channels, for values in [0, 1]",
    "std": "of the channels, for values in [0, 1]",
    "networks": "names of the architectures",
    "indices": "of the networks in their cohort",
    "fingerprint": "of the model: its features may be compared with others of this fingerprint",
    "precision": "float32 or int8",
    "config": "of FeatureExtractor, which runs the file",
    "sha256": "of the file, with this entry's value as it was before",
}
_FORMATS = {
    ".onnx": "reid_dml.models.exported.onnx_file",
    ".pt2": "reid_dml.models.exported.program_file",
    ".xml": "reid_dml.models.exported.openvino_file",
}
SUFFIXES = tuple(_FORMATS)
_REMEDY = "export it again with reid-dml export"
Compute = Callable[[Tensor], Tensor]


class ExportedNetwork(nn.Module):
    """The network of an exported file in place of a `ReIDNetwork`; several threads may use it at a time."""

    num_classes = 0  # exported files have no head

    def __init__(self, compute: Compute, about: Mapping[str, str]) -> None:
        """A network.

        Args:
            compute: from (N, 3, H, W) to features (N, D) float32, on any device.
            about: the file's `about`.
        """
        super().__init__()
        self.compute, self.about = compute, dict(about)
        self.feature_dim = int(about["feature_width"])

    def forward(self, images: Tensor) -> Output:
        features = self.compute(images).to(images.device)
        return Output(features.new_empty((len(features), 0)), features)


def is_exported(path: str | Path) -> bool:
    """Whether a path is called like an exported file."""
    return Path(path).suffix.lower() in _FORMATS


def format_of(path: str | Path) -> ModuleType:
    """The module for files of this name. Raises `UserError` where its runtime is not installed, or there is none."""
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise UserError(f"{path}: exported files end in {', '.join(SUFFIXES)}")
    module = importlib.import_module(_FORMATS[suffix])
    check(module.READERS, module.EXTRA, str(path))
    return module


def read_about(path: str | Path) -> dict[str, str]:
    """What an exported file says of itself. Raises `UserError` for one that cannot be read, or says nothing."""
    path = require_file(path, "the exported file", _REMEDY)
    state = path.stat()
    about = _read_about(path, state.st_mtime_ns, state.st_size)
    if absent := [name for name in ABOUT if name not in about]:
        raise UserError(
            f"{path}: is no file of reid-dml export (it says nothing of {', '.join(absent[:3])}); export the run "
            "or model folder with it"
        )
    return dict(about)


@lru_cache(maxsize=4)
def _read_about(path: Path, modified: int, size: int) -> Mapping[str, str]:
    return format_of(path).read_about(path)


def open_exported(path: str | Path, *, device: str = "cpu", threads: int = 1) -> ExportedNetwork:
    """The network of an exported file, whose digest is checked.

    Args:
        path: of the file.
        device: where it is to compute, if its runtime can: cpu or cuda:N.
        threads: for one batch on a CPU.

    Raises:
        UserError: a file that cannot be read, is damaged, or whose runtime is not installed.
    """
    about = read_about(path)
    module = format_of(path)
    module.check(Path(path), about)
    network = ExportedNetwork(module.open_file(Path(path), device=device, threads=threads), about)
    size = int(about["height"]), int(about["width"])
    with torch.inference_mode():
        width = network(torch.zeros(1, 3, *size)).features.shape[1] if not device.startswith("cuda") else None
    if width not in (None, network.feature_dim):
        raise UserError(f"{path}: gives features of {width} entries, and says {network.feature_dim}; {_REMEDY}")
    return network
