"""A gallery in PostgreSQL, opened: searched as it is at that moment, whoever changes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from reid_dml.data.records import ImageRecord
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.names import Names
from reid_dml.features.validation import check_list, check_whole_number
from reid_dml.search.filters import ImageFilter, camera_ids, image_times
from reid_dml.search.index_folder import IMAGES, IndexSpec
from reid_dml.search.index_types import prepare
from reid_dml.search.interface import GoneError, Neighbours, check_query, given_ids, replaced
from reid_dml.search.postgres import changes
from reid_dml.search.postgres.connections import Database, use_vectors
from reid_dml.search.postgres.schema import Head, Layout, latest, migrate, read_head
from reid_dml.search.sources import source_of
from reid_dml.text import from_utf8, to_utf8

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

_MOST_CANDIDATES = 1000  # of a graph, by pgvector
_COLUMNS = "id, path, person_id, camera_id, time"


class Condition(NamedTuple):
    """What images must be like to be found, in SQL."""

    text: str
    values: dict[str, Any]


class PostgresGallery:
    """Images in a database that can be searched by their features, with the methods of `search.Gallery`.

    Every call sees the gallery as it is then, in one transaction, and finds a server that was started again by itself;
    while the server does not answer, calls raise `UnavailableError`. Any number of threads and machines may search and
    change it; those that change it wait for each other.

    Args:
        database: where it is.
        parameters: of searches in place of the gallery's own: `efSearch=N`, or `exact=1` to compare all images.

    Raises:
        UserError: no gallery there, or one of a newer version.
    """

    def __init__(self, database: Database, *, parameters: str = "") -> None:
        self.path: str | os.PathLike[str] = database.where
        self.parameters, self._database = parameters, database
        self._check: Callable[[IndexSpec], object] = lambda spec: None
        self._checked: IndexSpec | None = None
        with database.transaction() as connection:
            head = read_head(connection, database)
        head.layout.care(parameters)
        if head.version < latest():
            with database.transaction(change=True) as connection:
                migrate(connection, database.schema)

    @contextmanager
    def _reading(self) -> Iterator[tuple[Connection[Any], Head]]:
        """One moment of the gallery, and what it is then."""
        with self._database.transaction() as connection:
            head = read_head(connection, self._database)
            if head.spec != self._checked:
                try:
                    self._check(head.spec)
                except UserError as error:
                    raise replaced(error) from None
                self._checked = head.spec
            use_vectors(connection, self._database.where)
            yield connection, head

    @property
    def spec(self) -> IndexSpec:
        """Type, metric, width and model of the gallery."""
        with self._reading() as (_, head):
            return head.spec

    @property
    def names(self) -> Names:
        """What its persons and cameras are called."""
        with self._reading() as (connection, _):
            return changes.read_names(connection)

    @property
    def table(self) -> pa.Table:
        """All images as a table: id, path, person_id, camera_id and time."""
        with self._reading() as (connection, _):
            return _table(connection, Condition("true", {}))

    def __len__(self) -> int:
        with self._reading() as (_, head):
            return head.count

    @property
    def state(self) -> object:
        """Something that is another after every change, whoever made it."""
        with self._reading() as (connection, _):  # the row is written by each, in a table that may be a new one
            return connection.execute("SELECT tableoid::text, xmin::text FROM gallery").fetchone()

    def watch(self, check: Callable[[IndexSpec], object]) -> None:
        """Have a check called now and by the first call after the gallery became another; see `AnyGallery.watch`."""
        check(self.spec)
        self._check = check

    def passing(self, only: ImageFilter) -> Condition:
        """What a filter is in SQL. Raises `UserError` if no image passes it, saying why."""
        with self._reading() as (connection, _):
            return self._passing(connection, only)

    def search(
        self, query: FeatureSet | np.ndarray, k: int = 10, *, only: ImageFilter | Condition | np.ndarray | None = None
    ) -> Neighbours:
        """The k nearest images of every query.

        Args:
            query: features of the gallery's model; of a plain array (Q, D) float32 that is for you to know.
            k: at most the number of images.
            only: what may be found: a filter, what `passing` made of one, or (n,) ids.

        Raises:
            FeatureError: features of another model or width, NaN, infinite or zero ones, or none.
            UserError: no images, or too large a k.
            ValueError: an array, or another argument, of another shape or type.
            UnavailableError: the server does not answer.
        """
        with self._reading() as (connection, head):
            where = str(self.path)
            query, k = check_query(query, k, head.spec, head.count, where=where, some=only is not None)
            vectors = prepare(query, head.spec.metric, "query")
            if isinstance(only, ImageFilter):
                only = self._passing(connection, only)
            elif only is not None and not isinstance(only, Condition):
                only = Condition("id = ANY(%(ids)s)", {"ids": given_ids("only", only).tolist()})
            care = head.layout.care(self.parameters or head.spec.parameters)
            found = _search(connection, head, vectors, k, only or Condition("true", {}), care)
        # In double precision and of equal images the one with the lower id first, as exact indexes of FAISS do.
        ids, scores = np.full((len(vectors), k), -1), np.full((len(vectors), k), np.nan, np.float32)
        for row, pairs in enumerate(found):
            pairs = sorted(pairs, key=lambda pair: (pair[1], pair[0]))
            ids[row, : len(pairs)] = [number for number, _ in pairs]
            distances = np.array([distance for _, distance in pairs], np.float32)
            scores[row, : len(pairs)] = -distances if head.spec.metric == "cosine" else distances
        return Neighbours(ids, scores)

    def images(self, ids: Sequence[int] | np.ndarray) -> list[ImageRecord]:
        """Path, person, camera and time of the images of these ids.

        Raises `GoneError` for an id that is not there, as of an image removed since the search that found it.
        """
        wanted = given_ids("ids", ids).tolist()
        with self._reading() as (connection, _):
            rows = connection.execute(
                "SELECT images.id, path, person_id, camera_id, time, persons.name, cameras.name FROM images "
                "LEFT JOIN names persons ON persons.kind = 'person' AND persons.id = person_id "
                "LEFT JOIN names cameras ON cameras.kind = 'camera' AND cameras.id = camera_id "
                "WHERE images.id = ANY(%s)",
                [wanted],
            ).fetchall()
        known = {
            number: ImageRecord(from_utf8(path), person, camera, None, time or "", name or "", camera_name or "")
            for number, path, person, camera, time, name, camera_name in rows
        }
        if not known.keys() >= set(wanted):
            raise GoneError(f"{self.path}: there are ids that no image of the gallery has; search again")
        return [known[number] for number in wanted]

    def find(self, paths: Sequence[str]) -> dict[str, int]:
        """The ids of the images of these paths; a path that no image has is left out."""
        check_list("paths", paths, str)
        return self._found("path", paths)

    def called(self, names: Sequence[str]) -> dict[str, int]:
        """The paths and ids of the images whose files have these names, in whatever folder; slower than `find`."""
        check_list("names", names, str)
        return self._found("regexp_replace(path, '^.*/', '')", names)

    def _found(self, what: str, values: Sequence[str]) -> dict[str, int]:
        with self._reading() as (connection, _):
            words, written = f"SELECT path, id FROM images WHERE {what} = ANY(%s)", [to_utf8(value) for value in values]
            return {from_utf8(path): number for path, number in connection.execute(words, [written]).fetchall()}

    def cameras(self) -> list[int]:
        """Ids of the cameras whose images it holds, rising; -1: unknown."""
        with self._reading() as (connection, _):
            return [row[0] for row in connection.execute("SELECT DISTINCT camera_id FROM images ORDER BY 1").fetchall()]

    def some(self, count: int) -> list[int]:
        """Ids of at most so many images, spread over all."""
        check_whole_number("count", count, least=0)
        with self._reading() as (connection, head):
            if head.count <= count:
                rows = connection.execute("SELECT id FROM images ORDER BY id").fetchall()
            else:  # there are gaps where images were removed: the first one from each of so many places on
                first = connection.execute("SELECT min(id) FROM images").fetchone() or (0,)
                places = np.linspace(first[0], head.spec.next_id - 1, count, endpoint=False).astype(int).tolist()
                rows = connection.execute(
                    "SELECT DISTINCT found.id FROM unnest(%s::bigint[]) AS place, "
                    "LATERAL (SELECT id FROM images WHERE id >= place ORDER BY id LIMIT 1) AS found ORDER BY 1",
                    [places],
                ).fetchall()
            return [row[0] for row in rows]

    def has_times(self) -> bool:
        """Whether the time of any image is known."""
        with self._reading() as (connection, _):
            return connection.execute("SELECT FROM images WHERE time IS NOT NULL LIMIT 1").fetchone() is not None

    def add(self, features: FeatureSet | Sequence[str | os.PathLike[str]]) -> int:
        """Add a feature set, or feature files, all or none; returns how many images."""
        return changes.add(self._database, source_of(features))

    def remove(self, names: Sequence[str], *, show: Callable[[list[str]], object] | None = None) -> int:
        """Remove images by path or pattern; see `search.build.remove_images`."""
        return changes.remove(self._database, names, show=show)

    def _passing(self, connection: Connection[Any], only: ImageFilter) -> Condition:
        where, called = str(self.path), dict(changes.read_names(connection).cameras)
        parts, values = ["true"], dict[str, Any]()
        for name, cameras, sign in (("cameras", only.cameras, ""), ("others", only.not_cameras, "NOT ")):
            if cameras:
                parts.append(f"{sign}camera_id = ANY(%({name})s)")
                values[name] = camera_ids(cameras, called, where)
        if only.since or only.until:
            times = ["moment IS NOT NULL"]
            times += ["moment >= %(since)s"] if only.since else []
            times += ["moment < %(until)s"] if only.until else []
            in_time = " AND ".join(times)
            if only.time_pattern:
                untimed = _table(connection, Condition(" AND ".join([*parts, "moment IS NULL"]), values))
                found = zip(untimed["id"].to_pylist(), image_times(untimed, only.time_pattern), strict=True)
                values["named"] = [number for number, time in found if time is not None and only.in_time(time)]
                in_time = f"({in_time} OR id = ANY(%(named)s))"
            parts.append(in_time)
            values |= {"since": only.since, "until": only.until}
        condition = Condition(" AND ".join(parts), values)
        if connection.execute(f"SELECT FROM images WHERE {condition.text} LIMIT 1", values).fetchone() is None:
            only.ids(_table(connection, Condition("true", {})), where, Names({}, called))  # says why
        return condition


def _table(connection: Connection[Any], condition: Condition) -> pa.Table:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM images WHERE {condition.text} ORDER BY id", condition.values
    ).fetchall()
    columns = zip(*rows, strict=True) if rows else ([] for _ in IMAGES)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, IMAGES, strict=True)], IMAGES)


def statements(layout: Layout, condition: str) -> tuple[str, str]:
    """The searches for the images nearest to `query`: among all, and by the graph.

    Args:
        layout: of the gallery.
        condition: what images must be like.
    """
    whole = "halfvec" if layout.half else "vector"
    kind = whole if layout.indexed == "feature" else "halfvec"
    select = f"SELECT id, feature {layout.operator} %(query)s::{whole} FROM images WHERE {condition} ORDER BY "
    return (
        f"{select} 2, id LIMIT %(k)s",
        f"{select} {layout.indexed} {layout.operator} %(query)s::{kind} LIMIT %(offered)s",
    )


def compare_all(connection: Connection[Any]) -> None:
    """Let no graph be used until the end of the transaction."""
    _set(connection, {"enable_indexscan": "off", "enable_seqscan": "on"})


def search_by_graph(connection: Connection[Any], candidates: int) -> None:
    """Set the care of the graph for this transaction, and see to it that it is used.

    The planner takes features that do not fit into their rows for free, and would compare all of them.
    """
    care = {"hnsw.ef_search": str(min(candidates, _MOST_CANDIDATES)), "hnsw.iterative_scan": "relaxed_order"}
    _set(connection, {**care, "enable_indexscan": "on", "enable_seqscan": "off"})


def _set(connection: Connection[Any], settings: dict[str, str]) -> None:
    calls = ", ".join(["set_config(%s, %s, true)"] * len(settings))
    connection.execute(f"SELECT {calls}", [word for setting in settings.items() for word in setting])


def _search(
    connection: Connection[Any],
    head: Head,
    vectors: np.ndarray,
    k: int,
    condition: Condition,
    care: dict[str, int],
) -> list[list[tuple[int, float]]]:
    """Ids and distances of the k nearest images of every query.

    Args:
        connection: in a transaction.
        head: what the gallery is.
        vectors: (Q, D) float32, prepared.
        k: images to find for each.
        condition: what they must be like.
        care: search parameters by name.
    """
    from pgvector import Vector

    exact, graph = statements(head.layout, condition.text)
    by_graph = bool(head.layout.degree) and "exact" not in care
    if head.layout.degree and not by_graph:
        compare_all(connection)
    # The graph offers its candidates one after the other, nearly in order, and the server drops those that do not pass.
    # The first k that do are the best of too few: of as many as without a condition they are nearly the nearest.
    candidates = max(k, care.get("efSearch", k))
    offered = k if condition.text == "true" else candidates
    found = []
    for vector in vectors:
        values = {**condition.values, "query": Vector(vector), "k": k, "offered": offered}
        if by_graph:
            search_by_graph(connection, candidates)
        rows = connection.execute(graph if by_graph else exact, values, prepare=False).fetchall()
        if by_graph:
            rows = sorted(rows, key=lambda row: (row[1], row[0]))[:k]
        if by_graph and len(rows) < k:  # the graph gave up, or no more images pass
            compare_all(connection)
            rows = connection.execute(exact, values, prepare=False).fetchall()
        found.append(rows)
    return found
