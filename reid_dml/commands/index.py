"""Building an index, adding images to it and removing some."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from reid_dml.errors import UserError
from reid_dml.features.formats import SUFFIXES
from reid_dml.search.build import add_images, build_index, remove_images
from reid_dml.search.sources import FeatureFiles, ImageFeatures, Source

_SHOWN = 20  # removed images that are named


def feature_source(paths: Sequence[str | os.PathLike[str]]) -> Source:
    """The features of files, .npz, .parquet or .mat. Raises `UserError` for a folder, which holds images."""
    for path in paths:
        if os.path.isdir(path):
            raise UserError(f"{path}: is a folder, not a feature file; give folders of images with --images")
    return FeatureFiles(paths)


def image_source(
    paths: Sequence[str | os.PathLike[str]],
    *,
    run: str | os.PathLike[str] | None = None,
    config_file: str | os.PathLike[str] | None = None,
    options: Sequence[str] = (),
    network: str = "ensemble",
    labels: str = "name",
    cameras: str = "use",
    frame_step: int = 0,
) -> Source:
    """The features of images and of folders of images.

    Args:
        paths: images, folders and tables of images.
        run, config_file, options: the networks, see `commands.networks.chosen_config`.
        network: `ensemble`, or the index of one network.
        labels, cameras, frame_step: as for `data.image_paths.image_records`.
    """
    from reid_dml.commands.networks import open_extractor  # loads torch
    from reid_dml.data.broken import usable_records
    from reid_dml.data.image_paths import image_records

    for path in paths:
        if Path(path).suffix.lower() in SUFFIXES:
            raise UserError(f"{path}: is a feature file, not an image; give feature files with --features")
    records = image_records(paths, labels=labels, cameras=cameras, frame_step=frame_step)
    extractor = open_extractor(run, config_file, options, network)
    return ImageFeatures(usable_records(extractor.cfg, records), extractor.extract, extractor.model)


def build(
    path: str | os.PathLike[str],
    source: Source,
    *,
    factory: str = "Flat",
    metric: str = "cosine",
    parameters: str = "",
    overwrite: bool = False,
) -> None:
    """Build the index in a folder and say what it is.

    Args:
        path, source, factory, metric, parameters, overwrite: as for `search.build.build_index`.
    """
    contents = build_index(path, source, factory=factory, metric=metric, parameters=parameters, overwrite=overwrite)
    spec = contents.spec
    print(
        f"{path}: {len(contents.images):,} images, {spec.dimension}-d, {spec.metric}, type {spec.factory}"
        + (f", searched with {spec.parameters}" if spec.parameters else "")
    )


def add(path: str | os.PathLike[str], source: Source) -> None:
    """Add images to the index in a folder; see `search.build.add_images`."""
    print(f"{path}: {add_images(path, source):,} images added")


def remove(path: str | os.PathLike[str], names: Sequence[str]) -> None:
    """Remove images from the index in a folder, and name them first; see `search.build.remove_images`."""
    print(f"{path}: {remove_images(path, names, show=_show_removed):,} images removed")


def _show_removed(paths: Sequence[str]) -> None:
    for entry in paths[:_SHOWN]:
        print(f"removing {entry}")
    if len(paths) > _SHOWN:
        print(f"removing {len(paths) - _SHOWN:,} more")
