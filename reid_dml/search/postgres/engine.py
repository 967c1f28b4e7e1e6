"""The engine of galleries in PostgreSQL, see `search.engines.Engine`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from reid_dml.search.index_folder import IndexSpec
from reid_dml.search.postgres import changes
from reid_dml.search.postgres.connections import Database
from reid_dml.search.postgres.gallery import PostgresGallery
from reid_dml.search.sources import Source


def open_gallery(place: str | os.PathLike[str], *, parameters: str = "") -> PostgresGallery:
    """See `PostgresGallery`."""
    return PostgresGallery(Database(str(place)), parameters=parameters)


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
        place: `postgresql://user@host/database#gallery`.
        source, factory, metric, parameters, overwrite: as for `changes.build`.
    """
    head = changes.build(
        Database(str(place)), source, factory=factory, metric=metric, parameters=parameters, overwrite=overwrite
    )
    return head.spec, head.count


def add_images(place: str | os.PathLike[str], source: Source) -> int:
    """See `changes.add`."""
    return changes.add(Database(str(place)), source)


def remove_images(
    place: str | os.PathLike[str], names: Sequence[str], *, show: Callable[[list[str]], object] | None = None
) -> int:
    """See `changes.remove`.

    Args:
        place: `postgresql://user@host/database#gallery`.
        names, show: as for `changes.remove`.
    """
    return changes.remove(Database(str(place)), names, show=show)
