"""Engines: what keeps and searches a gallery, chosen by the place that is named.

`postgresql://...` is a gallery in a database, anything else the folder of a FAISS index.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from reid_dml.errors import UserError
from reid_dml.search.index_folder import IndexSpec
from reid_dml.search.interface import AnyGallery
from reid_dml.search.sources import Source

Place = str | os.PathLike[str]
# Modules with the four functions of `Engine`, by the scheme of a place; imported at first use.
_ENGINES = dict.fromkeys(("postgresql", "postgres"), "reid_dml.search.postgres.engine")
_FOLDERS = "reid_dml.search.folders"


class Engine(Protocol):
    """The four functions of an engine's module; those of `search.build` say more of their arguments."""

    def open_gallery(self, place: Place, *, parameters: str = "") -> AnyGallery:
        """Open a gallery to search and to change it."""

    def build_gallery(
        self, place: Place, source: Source, *, factory: str, metric: str, parameters: str = "", overwrite: bool = False
    ) -> tuple[IndexSpec, int]:
        """Build a gallery from all features of a source; returns what it is, and how many images it has.

        Args:
            place: where to.
            source, factory, metric, parameters, overwrite: as for `search.build.build_index`.
        """

    def add_images(self, place: Place, source: Source) -> int:
        """Add all features of a source; returns how many."""

    def remove_images(
        self, place: Place, names: Sequence[str], *, show: Callable[[list[str]], object] | None = None
    ) -> int:
        """Remove images by path or pattern, all or none; returns how many.

        Args:
            place: of the gallery.
            names, show: as for `search.build.remove_images`.
        """


def engine_of(place: Place) -> Engine:
    """The engine of a place. Raises `UserError` for an URL that none knows."""
    scheme, separator, _ = str(place).partition("://")
    if separator and scheme not in _ENGINES:
        known = ", ".join(f"{name}://" for name in sorted(_ENGINES))
        raise UserError(f"{shown(place)}: no engine for {scheme}://; name a folder, or one of {known}")
    module: Any = import_module(_ENGINES[scheme] if separator else _FOLDERS)
    return module


def register_engine(scheme: str, module: str) -> None:
    """Let an engine keep the galleries whose places begin with `scheme://`.

    Args:
        scheme: of its URLs, in lower case.
        module: name of a module with the four functions of `Engine`; imported at first use.

    Raises:
        ValueError: a scheme that another engine has.
    """
    if _ENGINES.setdefault(scheme, module) != module:
        raise ValueError(f"{scheme}:// is {_ENGINES[scheme]}'s already")


def is_url(place: Place) -> bool:
    """Whether a place is in a database, not a folder."""
    return "://" in str(place)


def shown(place: Place) -> str:
    """What messages call a place: an URL without its password."""
    if not is_url(place):
        return str(place)
    parts = urlsplit(str(place))
    user, at, host = parts.netloc.rpartition("@")
    query = [(name, value) for name, value in parse_qsl(parts.query) if "password" not in name]
    netloc = user.partition(":")[0] + at + host
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(query, safe="/")))


def open_gallery(place: Place, *, parameters: str = "") -> AnyGallery:
    """Open a gallery, wherever it is.

    Args:
        place: the folder of an index, or `postgresql://user@host/database#gallery`.
        parameters: of searches in place of the gallery's own, e.g. `nprobe=64` or `efSearch=200`.

    Raises:
        UserError: there is none, or it cannot be opened.
        UnavailableError: the server does not answer.
    """
    return engine_of(place).open_gallery(place, parameters=parameters)
