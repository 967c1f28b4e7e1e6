"""What a command takes where it needs features: feature files as they are, images through the networks of a run."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from reid_dml.data.image_paths import image_records, is_of_images
from reid_dml.data.records import UNKNOWN_CAMERA
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.formats import read_features

if TYPE_CHECKING:
    from reid_dml.features.extractor import FeatureExtractor

Read = Callable[[str | os.PathLike[str]], FeatureSet]


@dataclass
class Inputs:
    """Reads features of files, folders and tables; the networks are opened for the first images.

    Attributes:
        run, config_file, options, network: the networks, see `commands.networks.open_extractor`.
        labels, cameras: as for `data.image_paths.image_records`; cameras of feature files too.
    """

    run: str | os.PathLike[str] | None = None
    config_file: str | os.PathLike[str] | None = None
    options: Sequence[str] = ()
    network: str = "ensemble"
    labels: str = "name"
    cameras: str = "use"

    @classmethod
    def of(cls, arguments: Namespace) -> Inputs:
        """What a command line says of them, by the arguments of `commands.arguments`.

        Raises `UserError` for options of networks where no networks are named.
        """
        if arguments.options and not (arguments.run or arguments.config_file):
            raise UserError(f"{arguments.options[0]}: options are of networks; name them with --run or --config-file")
        return cls(**{entry.name: getattr(arguments, entry.name) for entry in fields(cls)})

    @cached_property
    def _extractor(self) -> FeatureExtractor:
        from reid_dml.commands.networks import open_extractor  # loads torch

        return open_extractor(self.run, self.config_file, self.options, self.network)

    def read(self, path: str | os.PathLike[str]) -> FeatureSet:
        """The features of a feature file, an image, a folder or a table of images."""
        if is_of_images(path):
            records = image_records([path], labels=self.labels, cameras=self.cameras)
            return self._extractor.extract(records, str(path))
        features = read_features(path)
        if self.cameras == "ignore":
            features = replace(features, camera_ids=np.full(len(features), UNKNOWN_CAMERA))
        return features
