"""Building an index, adding images to it and removing some."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from reid_dml.commands.inputs import Inputs, Paths, check_no_run
from reid_dml.errors import UserError
from reid_dml.features.formats import SUFFIXES
from reid_dml.features.part_folder import part_files
from reid_dml.search.engines import Place, engine_of, shown
from reid_dml.search.sources import FeatureFiles, ImageFeatures, Source

_SHOWN = 20  # removed images that are named


def feature_source(paths: Paths, inputs: Inputs) -> Source:
    """The features of files, .npz, .parquet or .mat, and of folders of parts. Raises `UserError` for other folders."""
    for path in paths:
        check_no_run(path)
    files = [file for path in paths for file in (part_files(path) if os.path.isdir(path) else [path])]
    return FeatureFiles(files, inputs.read_file)


def image_source(paths: Paths, inputs: Inputs) -> Source:
    """The features of images, videos, and folders and tables of images. Raises `UserError` for a feature file."""
    for path in paths:
        if Path(path).suffix.lower() in SUFFIXES:
            raise UserError(f"{path}: is a feature file, not an image; give feature files with --features")
    records = inputs.records(paths)
    return ImageFeatures(records, inputs.extractor.extract, inputs.extractor.model)


def build(
    path: Place,
    source: Source,
    *,
    factory: str = "Flat",
    metric: str = "cosine",
    parameters: str = "",
    overwrite: bool = False,
) -> None:
    """Build an index and say what it is.

    Args:
        path: a folder, or `postgresql://...`.
        source, factory, metric, parameters, overwrite: as for `search.build.build_index`.
    """
    engine = engine_of(path)
    spec, count = engine.build_gallery(
        path, source, factory=factory, metric=metric, parameters=parameters, overwrite=overwrite
    )
    print(
        f"{shown(path)}: {count:,} images, {spec.dimension}-d, {spec.metric}, type {spec.factory}"
        + (f", searched with {spec.parameters}" if spec.parameters else "")
    )


def add(path: Place, source: Source) -> None:
    """Add images to an index; see `search.build.add_images`."""
    print(f"{shown(path)}: {engine_of(path).add_images(path, source):,} images added")


def remove(path: Place, names: Sequence[str]) -> None:
    """Remove images from an index, and name them first; see `search.build.remove_images`."""
    print(f"{shown(path)}: {engine_of(path).remove_images(path, names, show=_show_removed):,} images removed")


def _show_removed(paths: Sequence[str]) -> None:
    for entry in paths[:_SHOWN]:
        print(f"removing {entry}")
    if len(paths) > _SHOWN:
        print(f"removing {len(paths) - _SHOWN:,} more")
