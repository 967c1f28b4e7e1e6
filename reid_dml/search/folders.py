"""The engine of index folders: FAISS."""

from __future__ import annotations

import os

from reid_dml.search.build import add_images, build_index, remove_images
from reid_dml.search.gallery import Gallery
from reid_dml.search.index_folder import IndexSpec
from reid_dml.search.sources import Source

__all__ = ["add_images", "build_gallery", "open_gallery", "remove_images"]


def open_gallery(place: str | os.PathLike[str], *, parameters: str = "") -> Gallery:
    """See `Gallery.open`."""
    return Gallery.open(place, parameters=parameters)


def build_gallery(
    place: str | os.PathLike[str],
    source: Source,
    *,
    factory: str,
    metric: str,
    parameters: str = "",
    overwrite: bool = False,
) -> tuple[IndexSpec, int]:
    """What was built and how many images it has.

    Args:
        place, source, factory, metric, parameters, overwrite: as for `search.build.build_index`.
    """
    contents = build_index(place, source, factory=factory, metric=metric, parameters=parameters, overwrite=overwrite)
    return contents.spec, len(contents.images)
