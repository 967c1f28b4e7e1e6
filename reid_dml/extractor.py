"""Trained networks from a run folder, and features of anybody's images from them."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from yacs.config import CfgNode

from reid_dml.config import flatten
from reid_dml.data.images import read_image, resize_image
from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.device import resolve_device
from reid_dml.errors import UserError
from reid_dml.models import ReIDNetwork
from reid_dml.models.build import build_network
from reid_dml.models.weights import load_exact, read_tensors
from reid_dml.retrieval.ensemble import concatenate_features
from reid_dml.retrieval.extraction import run_networks
from reid_dml.run_folder import RunFolder

if TYPE_CHECKING:
    from PIL.Image import Image

# Options that change a network's features without changing the names and shapes of its weights.
_DECIDE_FEATURES = (
    "INPUT.SIZE",
    "INPUT.MEAN",
    "INPUT.STD",
    "DATA.STORED_SIZE",
    "MODEL.LAST_STRIDE",
    "MODEL.BN_EPS",
)
_WEIGHTS_NAME = re.compile(r"network_(\d+)(_ema)?\.safetensors")


def weights_files(cfg: CfgNode, path: str | os.PathLike[str]) -> dict[int, Path]:
    """Weight files by network index that `MODEL.WEIGHTS` stands for: a run folder's cohort, or one file.

    `TEST.WEIGHTS` chooses between a run's averaged and last weights. Raises `UserError` if there are none.
    """
    path = Path(path)
    if not str(path) or str(path) == ".":
        raise UserError("MODEL.WEIGHTS: not set; give MODEL.WEIGHTS and a run folder or a .safetensors file")
    if not path.is_dir():
        match = _WEIGHTS_NAME.fullmatch(path.name)
        return {int(match[1]) if match else 0: path}
    folder = RunFolder(path)
    ema = cfg.TEST.WEIGHTS == "ema" or (cfg.TEST.WEIGHTS == "auto" and cfg.EMA.ENABLED)
    files = {index: folder.weights_file(index, ema=ema) for index in range(len(cfg.COHORT.NETWORKS))}
    absent = [file for file in files.values() if not file.is_file()]
    if absent:
        hint = (
            "its training has not ended, continue it with --resume"
            if folder.checkpoints.is_dir()
            else (
                "name a run folder of tools/train_net.py whose COHORT.NETWORKS are those of the config, or one "
                ".safetensors file"
            )
        )
        raise UserError(f"{absent[0]}: weights not found; {hint}")
    return files


def load_networks(cfg: CfgNode, path: str | os.PathLike[str], device: str) -> dict[int, ReIDNetwork]:
    """The trained networks of `MODEL.WEIGHTS` in evaluation mode on the device, by index."""
    files = weights_files(cfg, path)
    _warn_of_other_inputs(cfg, next(iter(files.values())).parent)
    networks = {}
    for index, file in files.items():
        if index >= len(cfg.COHORT.NETWORKS):
            raise UserError(
                f"{file}: network {index} of a cohort, but COHORT.NETWORKS names {len(cfg.COHORT.NETWORKS)}"
            )
        head = read_tensors(file).get("head.weight")
        if head is None or head.ndim != 2:
            raise UserError(f"{file}: has no identity head (head.weight); it is no network of tools/train_net.py")
        network = build_network(cfg, index, head.shape[0], initialise=False)
        load_exact(network, file, what=f"network {index} ({cfg.COHORT.NETWORKS[index]})")
        networks[index] = network.to(device).to(memory_format=torch.channels_last).eval()
    return networks


def _warn_of_other_inputs(cfg: CfgNode, folder: Path) -> None:
    """Say so where the config treats images or networks otherwise than the run did: no weight would be missing."""
    run = RunFolder(folder)
    if not run.config_file.is_file():
        return
    then, now = flatten(run.config()), flatten(cfg)
    different = [f"{key} was {then[key]!r}, is {now[key]!r}" for key in _DECIDE_FEATURES if then[key] != now[key]]
    if different:
        warnings.warn(f"{run.config_file}: trained otherwise than tested: {'; '.join(different)}", stacklevel=2)


def choose_network(
    networks: Mapping[int, ReIDNetwork], choice: str | int, path: str | os.PathLike[str]
) -> Mapping[int, ReIDNetwork]:
    """All networks for `ensemble`, else the one of this index. Raises `UserError` if there is none."""
    if choice == "ensemble":
        return networks
    if not str(choice).isdecimal() or int(choice) not in networks:
        indices = ", ".join(map(str, sorted(networks)))
        raise UserError(f"{path}: network {choice!r} is neither `ensemble` nor one of {indices}")
    return {int(choice): networks[int(choice)]}


class FeatureExtractor:
    """Features of images for search: `FeatureExtractor.from_run("runs/quickstart")(images)`."""

    def __init__(self, cfg: CfgNode, networks: Mapping[int, ReIDNetwork], device: str) -> None:
        self.cfg, self.networks, self.device = cfg, dict(networks), device
        self.spec = AugmentSpec.of(cfg)

    @staticmethod
    def from_run(
        path: str | os.PathLike[str], network: str | int = "ensemble", device: str = "auto"
    ) -> FeatureExtractor:
        """Open a run.

        Args:
            path: a run folder, or one weights file beside its config.yml.
            network: `ensemble` (all of the cohort, concatenated) or the index of one network.
            device: auto, cpu, cuda or cuda:N.

        Raises:
            UserError: no such run or network, or weights that do not fit the run's config.
        """
        folder = RunFolder(path if Path(path).is_dir() else Path(path).parent)
        cfg = folder.config()
        device = resolve_device(device)
        return FeatureExtractor(cfg, choose_network(load_networks(cfg, path, device), network, path), device)

    def __call__(self, images: Sequence[np.ndarray | Image | str | os.PathLike[str]]) -> np.ndarray:
        """Features of images.

        Args:
            images: paths, PIL images or (H, W, 3) uint8 RGB arrays, of any size and mixed as you like.

        Returns:
            (N, D) float32, rows of length 1: the dot product of two is their cosine similarity.

        Raises:
            UserError: an image that cannot be read. ValueError: an array of another shape or type.
        """
        if isinstance(images, (str, os.PathLike)) or hasattr(images, "convert"):
            raise ValueError("expected a list of images; wrap a single one: [image]")
        size, step = self.cfg.DATA.STORED_SIZE, self.cfg.TEST.BATCH_SIZE
        batches = (
            np.stack([resize_image(as_rgb(image), size).transpose(2, 0, 1) for image in images[start : start + step]])
            for start in range(0, len(images), step)
        )
        parts: dict[int, list[np.ndarray]] = {index: [] for index in self.networks}
        for outputs in run_networks(self.networks, batches, self.spec, self.device):
            for index, output in outputs.items():
                parts[index].append(output.features.float().cpu().numpy())
        members = [
            np.concatenate(part) if part else np.empty((0, self.networks[index].feature_dim), np.float32)
            for index, part in parts.items()
        ]
        return concatenate_features(members, how=self.cfg.TEST.ENSEMBLE)


def as_rgb(image: np.ndarray | Image | str | os.PathLike[str]) -> np.ndarray:
    """One image in any accepted form as (H, W, 3) uint8 RGB."""
    if isinstance(image, (str, os.PathLike)):
        return read_image(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"an array must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")
        return image
    from PIL import ImageOps  # comes with torchvision and timm

    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
