"""Searching a gallery: FAISS indexes in memory and on disk. Never loads torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["Gallery"]

if TYPE_CHECKING:
    from reid_dml.search.gallery import Gallery


def __getattr__(name: str) -> object:
    # At first use: rankings need FAISS of this room, but not the folders and tables of an index.
    if name == "Gallery":
        from reid_dml.search.gallery import Gallery

        return Gallery
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
