"""What a command takes where it needs features: feature files as they are, images through the networks of a run."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reid_dml.data.image_paths import image_records, is_of_images
from reid_dml.data.listing import EXTENSIONS
from reid_dml.data.records import UNKNOWN_CAMERA, ImageRecord
from reid_dml.errors import UserError, absolute
from reid_dml.features.feature_set import FeatureSet, is_npz
from reid_dml.features.formats import SUFFIXES, read_features

if TYPE_CHECKING:
    from yacs.config import CfgNode

    from reid_dml.features.extractor import FeatureExtractor

Paths = Sequence[str | os.PathLike[str]]
Read = Callable[[str | os.PathLike[str]], FeatureSet]


def check_no_run(path: str | os.PathLike[str]) -> None:
    """Raise `UserError` for a run or model folder, which has networks and no images; say what to give instead."""
    folder = Path(path)
    if not ((folder / "config.yml").is_file() and any(folder.glob("*.safetensors"))):
        return
    if found := sorted(folder.glob("*.npz")):
        remedy = f"give a feature file of it, such as {found[0]}, or images with --run {path}"
    else:
        remedy = (
            f"give images with --run {path}, or features made of them with reid-dml extract --run {path} --images DIR "
            "--output features.npz"
        )
    raise UserError(f"{path}: is a folder of networks, where features or images are expected; {remedy}")


@dataclass
class Inputs:
    """Reads features of files, folders and tables; the networks are opened for the first images.

    Attributes:
        run, config_file, options, network: the networks, see `commands.networks.open_extractor`.
        labels, cameras, frame_step: as for `data.image_paths.image_records`; cameras of feature files too. The pattern
            of cameras is that of the networks' config, `OWN.CAMERA_PATTERN`.
    """

    run: str | os.PathLike[str] | None = None
    config_file: str | os.PathLike[str] | None = None
    options: Sequence[str] = ()
    network: str = "ensemble"
    labels: str = "name"
    cameras: str = "use"
    frame_step: int = 0

    @classmethod
    def of(cls, arguments: Namespace, paths: Paths) -> Inputs:
        """What a command line says of them, by the arguments of `commands.arguments`.

        Args:
            arguments: of the command line.
            paths: what is to be read.

        Raises:
            UserError: for a file that is neither of images nor of features; for what would have no effect:
                networks, and labels of images, where all paths are feature files; options of networks where none are
                named.
        """
        for path in paths:
            named = is_of_images(path) or Path(path).suffix.lower() in SUFFIXES
            if Path(path).is_file() and not named and not is_npz(Path(path)):
                raise UserError(
                    f"{path}: is no image ({', '.join(sorted(EXTENSIONS))}), video or table (.csv), no "
                    f"feature file ({', '.join(SUFFIXES)}); convert it, or name another file"
                )
        given: dict[str, Any] = {entry.name: getattr(arguments, entry.name, entry.default) for entry in fields(cls)}
        if all(Path(path).is_file() and not is_of_images(path) for path in paths):
            for entry in fields(cls):
                if given[entry.name] not in (entry.default, []) and not (paths and entry.name == "cameras"):
                    word = f"--{entry.name.replace('_', '-')}:"
                    if entry.name == "options":
                        word = f"{arguments.options[0]}: options are of networks, but"
                    raise UserError(f"{word} there are no images to read; leave it out")
        if arguments.options and not (arguments.run or arguments.config_file):
            raise UserError(f"{arguments.options[0]}: options are of networks; name them with --run or --config-file")
        return cls(**given)

    @cached_property
    def _cfg(self) -> CfgNode:
        from reid_dml.commands.networks import chosen_config  # loads torch

        return chosen_config(self.run, self.config_file, self.options)

    @property
    def trained_config(self) -> CfgNode | None:
        """The config of the networks; None where none are named."""
        return self._cfg if self.run or self.config_file else None

    @cached_property
    def extractor(self) -> FeatureExtractor:
        """The networks. Raises `UserError` where none are named, or for some that cannot be opened."""
        from reid_dml.features.extractor import FeatureExtractor

        return FeatureExtractor.from_config(self._cfg, self.network)

    def records(self, paths: Paths) -> list[ImageRecord]:
        """The images of files, folders, tables and videos that can be used, see `data.broken.usable_records`.

        Raises `UserError` for a run folder, too.
        """
        from reid_dml.data.broken import usable_records  # loads torch

        for path in paths:
            check_no_run(path)
        cfg = self._cfg
        found = image_records(
            paths,
            labels=self.labels,
            cameras=self.cameras,
            frame_step=self.frame_step,
            camera_pattern=cfg.OWN.CAMERA_PATTERN,
        )
        return usable_records(cfg, found)

    def read(self, path: str | os.PathLike[str]) -> FeatureSet:
        """The features of a feature file, an image, a video, a folder or a table of images."""
        if is_of_images(path):
            records = self.records([path])
            return self.extractor.extract(records, str(path))
        if not Path(path).exists() and Path(path).suffix.lower() not in SUFFIXES:
            raise UserError(f"{absolute(path)}: not found; name a feature file, or an image, folder, list or video")
        return self.read_file(path)

    def read_file(self, path: str | os.PathLike[str]) -> FeatureSet:
        """The features of a feature file."""
        features = read_features(path)
        if self.cameras == "ignore":
            features = replace(features, camera_ids=np.full(len(features), UNKNOWN_CAMERA))
        return features
