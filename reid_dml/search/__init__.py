"""Searching a gallery: FAISS indexes in memory and on disk, and databases. Never loads torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["Gallery", "ImageFilter", "open_gallery"]

if TYPE_CHECKING:
    from reid_dml.search.engines import open_gallery
    from reid_dml.search.filters import ImageFilter
    from reid_dml.search.gallery import Gallery


def __getattr__(name: str) -> object:
    # At first use: rankings need FAISS of this room, but not the folders and tables of an index.
    if name == "Gallery":
        from reid_dml.search.gallery import Gallery

        return Gallery
    if name == "ImageFilter":
        from reid_dml.search.filters import ImageFilter

        return ImageFilter
    if name == "open_gallery":
        from reid_dml.search.engines import open_gallery

        return open_gallery
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
