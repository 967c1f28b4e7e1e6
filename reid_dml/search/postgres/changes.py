"""Building a gallery in PostgreSQL, adding images to it and removing some: each change is one transaction.

Features of images are extracted before it begins, and kept part by part in the user's cache until it has ended: an
interrupted command goes on there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from reid_dml.data.times import moment_of
from reid_dml.errors import BusyError, UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.names import Names
from reid_dml.features.validation import check_metric
from reid_dml.files import remove_folder, user_cache
from reid_dml.locks import exclusive
from reid_dml.search.build import check_new, named, summarise
from reid_dml.search.index_folder import IndexSpec
from reid_dml.search.index_types import prepare
from reid_dml.search.postgres.connections import USE, Database, use_vectors
from reid_dml.search.postgres.schema import Head, Layout, create, create_indexes, drop, holds, latest, read_head
from reid_dml.search.sources import Source
from reid_dml.text import from_utf8, to_utf8

if TYPE_CHECKING:
    from psycopg import Connection

_TYPES = ("int8", "text", "int8", "int8", "text", "timestamp")  # of the columns of `images`, the feature's left out
_AT_ONCE = 10_000  # paths that are looked up at a time
_INSERT = "INSERT INTO gallery (version, factory, metric, dimension, model, parameters, next_id, count) VALUES ({})"
# Names of whom no image is left: an erased person's name goes with the last image.
_FORGET = """
DELETE FROM names WHERE kind = 'person' AND NOT EXISTS (SELECT FROM images WHERE person_id = names.id)
OR kind = 'camera' AND NOT EXISTS (SELECT FROM images WHERE camera_id = names.id)
"""


def build(
    database: Database, source: Source, *, factory: str, metric: str, parameters: str = "", overwrite: bool = False
) -> Head:
    """Build the gallery of a database from all features of a source.

    Args:
        database: where to.
        source: the features.
        factory: type, see `schema.Layout.of`.
        metric: `cosine` or `euclidean`.
        parameters: of searches, such as `efSearch=200`; empty: those of the type.
        overwrite: replace a gallery that is there; until the end it is searched as before.

    Raises:
        UserError: a gallery or another schema is there; features or a type that do not fit.
    """
    check_metric(metric)
    with database.transaction(change=True) as connection:
        _make_extension(connection, database.where)
        _check_place(connection, database, overwrite)
    with _work(database, source) as folder:
        summary = summarise(source, folder, metric)
        if not len(summary.images):
            raise UserError(f"{database.where}: there are no features to build an index from")
        layout = Layout.of(factory, summary.dimension, metric)
        layout.care(parameters)
        spec = IndexSpec(
            factory, metric, summary.dimension, summary.model, parameters or layout.parameters, len(summary.images)
        )
        new = f"{database.schema}+new"  # no gallery can be called so
        with database.transaction(change=True) as connection, _telling(connection):
            use_vectors(connection, database.where)
            _check_place(connection, database, overwrite)
            create(connection, new, layout)
            connection.execute(USE, [new])
            _copy(connection, source, folder, spec, layout, len(summary.images))
            _write_names(connection, summary.names)
            values = [
                latest(),
                factory,
                metric,
                spec.dimension,
                spec.model,
                spec.parameters,
                spec.next_id,
                spec.next_id,
            ]
            connection.execute(_INSERT.format(", ".join(["%s"] * len(values))), values)
            create_indexes(connection, layout)
            drop(connection, database)
            connection.execute(f'ALTER SCHEMA "{new}" RENAME TO "{database.schema}"')
    return Head(spec, len(summary.images), layout, latest())


def add(database: Database, source: Source) -> int:
    """Add all features of a source; returns how many. Raises `UserError` as `search.build.add_images` does."""
    with database.transaction() as connection:
        spec = read_head(connection, database).spec
        names = read_names(connection)
    with _work(database, source) as folder:
        summary = summarise(source, folder, spec.metric, spec, names)
        with database.transaction(change=True) as connection:
            use_vectors(connection, database.where)
            head = read_head(connection, database, lock=True)
            if replace(head.spec, next_id=0) != replace(spec, next_id=0):
                raise UserError(f"{database.where}: was replaced by another gallery meanwhile; nothing was added")
            paths = summary.images["path"].to_pylist()
            check_new(_there(connection, paths), len(paths), database.where)
            _copy(connection, source, folder, head.spec, head.layout, len(paths), first=head.spec.next_id)
            _write_names(connection, summary.names.joined(read_names(connection), "these images", database.where))
            connection.execute(
                "UPDATE gallery SET next_id = next_id + %(new)s, count = count + %(new)s", {"new": len(paths)}
            )
    return len(paths)


def remove(database: Database, names: Sequence[str], *, show: Callable[[list[str]], object] | None = None) -> int:
    """Remove images; returns how many.

    Args:
        database: of the gallery.
        names, show: as for `search.build.remove_images`; so are the errors.
    """
    with database.transaction(change=True) as connection:
        read_head(connection, database, lock=True)
        asked = [to_utf8(name) for name in names]
        rows = connection.execute("SELECT id, path FROM images WHERE path = ANY(%s) ORDER BY id", [asked]).fetchall()
        if len(rows) < len(set(asked)):  # patterns are among them
            rows = connection.execute("SELECT id, path FROM images ORDER BY id").fetchall()
        paths = [from_utf8(path) for _, path in rows]
        gone = named(paths, names, database.where)
        if show:
            show([path for path, goes in zip(paths, gone, strict=True) if goes])
        ids = [number for (number, _), goes in zip(rows, gone, strict=True) if goes]
        connection.execute("DELETE FROM images WHERE id = ANY(%s)", [ids])
        connection.execute("UPDATE gallery SET count = count - %s", [len(ids)])
        connection.execute(_FORGET)
    return len(ids)


def read_names(connection: Connection[Any]) -> Names:
    """What persons and cameras are called."""
    sides: dict[str, dict[int, str]] = {"person": {}, "camera": {}}
    for kind, number, name in connection.execute("SELECT kind, id, name FROM names"):
        sides[kind][number] = name
    return Names(sides["person"], sides["camera"])


def _make_extension(connection: Connection[Any], where: str) -> None:
    from psycopg import errors

    if connection.execute("SELECT FROM pg_extension WHERE extname = 'vector'").fetchone() is None:
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except (errors.UndefinedFile, errors.FeatureNotSupported):
            raise UserError(
                f"{where}: the server has no pgvector; install it there (https://github.com/pgvector/pgvector)"
            ) from None


def _check_place(connection: Connection[Any], database: Database, overwrite: bool) -> None:
    """Refuse what is not to be replaced, and a second builder."""
    row = connection.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s))", [database.schema]).fetchone()
    if not row or not row[0]:
        raise BusyError(f"{database.where}: another process is building this gallery; wait for it")
    if holds(connection, database) and not overwrite:
        raise UserError(
            f"{database.where}: holds an index; add to it (--add), replace it (--overwrite) or name another"
        )


@contextmanager
def _work(database: Database, source: Source) -> Iterator[Path]:
    """A folder for features that are extracted, the same for the same images; removed once the change is made.

    Raises `BusyError` where another process works in it.
    """
    what = sha256(repr((database.where, source.plan())).encode()).hexdigest()[:32]
    folder = user_cache() / "galleries" / what
    lock = folder.with_name(f".{what}.lock")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(lock, f"{database.where}: another process is bringing in the same images; wait for it"):
        try:
            yield folder
            remove_folder(folder)
        finally:
            lock.unlink(missing_ok=True)


@contextmanager
def _telling(connection: Connection[Any]) -> Iterator[None]:
    """Warn of what pgvector says: that a graph does not fit the memory it may use."""
    import warnings

    def tell(notice: Any) -> None:
        if "maintenance_work_mem" in str(notice.message_primary):
            warnings.warn(f"{notice.message_primary}: {notice.message_hint}", stacklevel=2)

    connection.add_notice_handler(tell)
    try:
        yield
    finally:
        connection.remove_notice_handler(tell)


def _there(connection: Connection[Any], paths: Sequence[str]) -> list[str]:
    """Those of the paths that the gallery has, in their order."""
    found = []
    for start in range(0, len(paths), _AT_ONCE):
        asked = list(paths[start : start + _AT_ONCE])
        rows = connection.execute("SELECT path FROM images WHERE path = ANY(%s)", [asked]).fetchall()
        known = {path for (path,) in rows}
        found += [path for path in asked if path in known]
    return found


def _write_names(connection: Connection[Any], names: Names) -> None:
    rows = [("person", *entry) for entry in names.persons.items()]
    rows += [("camera", *entry) for entry in names.cameras.items()]
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO names VALUES (%s, %s, %s) ON CONFLICT (kind, id) DO NOTHING", rows)


def _copy(
    connection: Connection[Any],
    source: Source,
    folder: Path,
    spec: IndexSpec,
    layout: Layout,
    count: int,
    *,
    first: int = 0,
) -> None:
    """Send all features of a source, as the images first, first + 1, ..."""
    columns = "COPY images (id, path, person_id, camera_id, time, moment, feature) FROM STDIN (FORMAT BINARY)"
    with (
        tqdm(total=count, desc="importing", unit="image", leave=False, disable=None) as bar,
        connection.cursor() as cursor,
        cursor.copy(columns) as copy,
    ):
        copy.set_types([*_TYPES, "halfvec" if layout.half else "vector"])
        for number in range(len(source)):
            name, features = source.part(number, folder)
            for row in _rows(features, spec.metric, name, layout.half, first):
                copy.write_row(row)
                bar.update()
            first += len(features)


def _rows(features: FeatureSet, metric: str, name: str, half: bool, first: int) -> Iterator[tuple[Any, ...]]:
    from pgvector import HalfVector, Vector

    vectors = prepare(features, metric, name)
    as_sent = HalfVector if half else Vector
    columns = (map(to_utf8, features.paths.tolist()), features.person_ids.tolist(), features.camera_ids.tolist())
    times = (time or None for time in features.times.tolist())
    for number, (path, person, camera, time, vector) in enumerate(zip(*columns, times, vectors, strict=True), first):
        moment = moment_of(time) if time else None
        yield number, path, person, camera, time, moment, as_sent(vector)
