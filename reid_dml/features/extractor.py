"""Features of anybody's images, from a run folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from yacs.config import CfgNode

from reid_dml.config import load_config
from reid_dml.data.images import read_image, resize_image
from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.device import resolve_device
from reid_dml.errors import UserError
from reid_dml.features.ensemble import concatenate_features
from reid_dml.inference.forward import run_networks
from reid_dml.models import ReIDNetwork
from reid_dml.runs.folder import RunFolder
from reid_dml.runs.networks import choose_network, fingerprint, load_networks
from reid_dml.threads import use_threads

if TYPE_CHECKING:
    from PIL.Image import Image


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

    @staticmethod
    def from_config(cfg: CfgNode, network: str | int = "ensemble") -> FeatureExtractor:
        """Open `MODEL.WEIGHTS` of a config on its `DEVICE`; otherwise like `from_run`."""
        device = resolve_device(cfg.DEVICE)
        use_threads(cfg.THREADS)
        networks = load_networks(cfg, cfg.MODEL.WEIGHTS, device)
        return FeatureExtractor(cfg, choose_network(networks, network, cfg.MODEL.WEIGHTS), device)

    @cached_property
    def model(self) -> str:
        """Fingerprint of the networks: features may be compared only with others of the same model."""
        return fingerprint(self.cfg, self.networks)

    def __call__(self, images: Sequence[np.ndarray | Image | str | os.PathLike[str]]) -> np.ndarray:
        """Features of images.

        Args:
            images: paths, PIL images or (H, W, 3) uint8 RGB arrays, of any size and mixed as you like.

        Returns:
            (N, D) float32, rows of length 1: the dot product of two is their cosine similarity.

        Raises:
            UserError: an image that cannot be read. ValueError: an array of another shape or type.
        """
        if not isinstance(images, (list, tuple)):
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


def open_extractor(
    run: str | os.PathLike[str] | None,
    config_file: str | os.PathLike[str] | None,
    options: Sequence[str],
    network: str | int = "ensemble",
) -> FeatureExtractor:
    """The networks a command was given: a run folder, or a config file with options. Raises `UserError` unless one."""
    if run and not config_file and not options:
        return FeatureExtractor.from_run(run, network)
    if config_file and not run:
        return FeatureExtractor.from_config(load_config(config_file, options), network)
    raise UserError(
        "images need networks: give either --run and a run folder, or --config-file FILE MODEL.WEIGHTS path"
    )


def as_rgb(image: np.ndarray | Image | str | os.PathLike[str]) -> np.ndarray:
    """One image in any accepted form as (H, W, 3) uint8 RGB."""
    if isinstance(image, (str, os.PathLike)):
        return read_image(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"an array must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")
        return image
    if not hasattr(image, "convert"):
        raise ValueError(f"an image must be a path, a PIL image or an array, got {type(image).__name__}")
    from PIL import ImageOps  # comes with torchvision and timm

    if image.mode.startswith("I"):  # 16 bits of grey, which PIL would cut off and not scale
        grey = (np.asarray(ImageOps.exif_transpose(image)).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
