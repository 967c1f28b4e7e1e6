"""The tables of a gallery in PostgreSQL.

    gallery  one row: what the gallery is, as the manifest of an index folder
    images   id, path, person_id, camera_id, time as it was given, moment: the same in UTC, feature
    names    what persons and cameras are called

A gallery of an earlier version is brought up to date when it is opened.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reid_dml.errors import UserError
from reid_dml.search.index_folder import IndexSpec

if TYPE_CHECKING:
    from psycopg import Connection

    from reid_dml.search.postgres.connections import Database

_TABLES = """
CREATE TABLE "{schema}".gallery (
    version integer NOT NULL, factory text NOT NULL, metric text NOT NULL, dimension integer NOT NULL,
    model text NOT NULL, parameters text NOT NULL, next_id bigint NOT NULL, count bigint NOT NULL
);
CREATE TABLE "{schema}".images (
    id bigint NOT NULL, path text NOT NULL, person_id bigint NOT NULL, camera_id bigint NOT NULL,
    time text, moment timestamp, feature {type} NOT NULL
) WITH (toast_tuple_target = 8160);  -- features stand in the rows as long as a page holds them
CREATE TABLE "{schema}".names (
    kind text NOT NULL CHECK (kind IN ('person', 'camera')), id bigint NOT NULL, name text NOT NULL,
    PRIMARY KEY (kind, id), UNIQUE (kind, name)
)
"""
_INDEXES = """
ALTER TABLE images ADD PRIMARY KEY (id);
ALTER TABLE images ADD UNIQUE (path);
CREATE INDEX ON images (person_id);
CREATE INDEX ON images (camera_id);
CREATE INDEX ON images (moment)
"""
# What turns version 1 into 2, 2 into 3, ...: statements each; `_TABLES` and `_INDEXES` are of the last version.
MIGRATIONS: Sequence[str] = ()
TABLES = {"gallery": "factory", "images": "person_id", "names": "kind"}  # and a column by which each is known as ours
# What a schema holds, seen whatever its reader may do: relations other than indexes, functions, and types that are not
# those of relations or arrays.
_CONTENTS = """
SELECT relname, relkind, ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = pg_class.oid)
FROM pg_class WHERE relnamespace = %(schema)s AND relkind NOT IN ('i', 'I')
UNION ALL SELECT proname, 'function', '{}' FROM pg_proc WHERE pronamespace = %(schema)s
UNION ALL SELECT typname, 'type', '{}' FROM pg_type
WHERE typnamespace = %(schema)s AND typrelid = 0 AND typcategory <> 'A'
"""
_WIDEST, _WIDEST_GRAPH, _WIDEST_HALF_GRAPH = 16_000, 2_000, 4_000  # dimensions, by pgvector
_CARE = {"efSearch": 64}  # candidates of a graph, unless told otherwise: as in FAISS


@dataclass(frozen=True)
class Layout:
    """How PostgreSQL keeps and searches features of a type.

    Attributes:
        dimension: D.
        metric: `cosine` or `euclidean`.
        half: features are stored in half precision.
        degree: links of a vector in the graph (HNSW); 0: no graph, all vectors are compared.
    """

    dimension: int
    metric: str
    half: bool
    degree: int

    @staticmethod
    def of(factory: str, dimension: int, metric: str) -> Layout:
        """The layout of a type, in FAISS's words: `Flat`, `SQfp16`, `HNSW32` or `HNSW32,SQfp16`.

        Args:
            factory: the type.
            dimension: D.
            metric: `cosine` or `euclidean`.

        Raises:
            UserError: another type, or features that are too wide for it.
        """
        found = re.fullmatch(r"Flat|(SQfp16)|HNSW(\d{1,3})(?:,(?:Flat|(SQfp16)))?", factory)
        degree = int(found[2] or 0) if found else 0
        if not found or (found[2] and not 2 <= degree <= 100):
            raise UserError(
                f"index type {factory!r}: PostgreSQL has Flat (exact), SQfp16 (exact, half precision), HNSW2 to "
                "HNSW100, and HNSW32,SQfp16"
            )
        widest = _WIDEST_HALF_GRAPH if degree else _WIDEST
        if dimension > widest:
            raise UserError(
                f"index type {factory!r}: pgvector takes at most {widest:,} dimensions for it, these features have "
                f"{dimension:,}; use Flat, or narrower features"
            )
        return Layout(dimension, metric, bool(found[1] or found[3]), degree)

    @property
    def column(self) -> str:
        """The type of the column `feature`."""
        return f"{'halfvec' if self.half else 'vector'}({self.dimension})"

    @property
    def indexed(self) -> str:
        """The expression that the graph is made of: of many dimensions in half precision."""
        return "feature" if self.half or self.dimension <= _WIDEST_GRAPH else f"(feature::halfvec({self.dimension}))"

    @property
    def operator(self) -> str:
        """What orders images: the negative inner product of unit vectors, or the distance."""
        return "<#>" if self.metric == "cosine" else "<->"

    @property
    def parameters(self) -> str:
        """Of searches, unless told otherwise."""
        return "efSearch=64" if self.degree else ""

    def care(self, parameters: str) -> dict[str, int]:
        """Search parameters by name. Raises `UserError` for any that this type does not have."""
        care = dict(_CARE)
        for name, value in re.findall(r"([^\s,=]+)=?([^\s,]*)", parameters):
            if not self.degree or name not in ("efSearch", "exact") or not re.fullmatch(r"0*[1-9]\d{0,8}", value):
                raise UserError(
                    f"search parameters {parameters!r}: graphs (HNSW) in PostgreSQL have efSearch=N, from 1 up, and "
                    "exact=1, which compares all images; exact types have none"
                )
            care[name] = int(value)
        return care

    def graph(self) -> str:
        """The statement that makes the graph."""
        kind = "vector" if self.indexed == "feature" and not self.half else "halfvec"
        by = f"{kind}_{'ip' if self.metric == 'cosine' else 'l2'}_ops"
        options = f"m = {self.degree}, ef_construction = {max(64, 2 * self.degree)}"
        return f"CREATE INDEX ON images USING hnsw ({self.indexed} {by}) WITH ({options})"


@dataclass(frozen=True)
class Head:
    """What a gallery is, how many images it has, and the version of its tables."""

    spec: IndexSpec
    count: int
    layout: Layout
    version: int


def create(connection: Connection[Any], schema: str, layout: Layout) -> None:
    """Make the tables of a gallery, without indexes.

    Args:
        connection: in a transaction.
        schema: a new one, for them.
        layout: of the features.
    """
    connection.execute(f'CREATE SCHEMA "{schema}"')
    connection.execute(_TABLES.format(schema=schema, type=layout.column))


def holds(connection: Connection[Any], database: Database) -> bool:
    """Whether a gallery is there. Raises `UserError` where something else stands in the schema."""
    row = connection.execute("SELECT oid FROM pg_namespace WHERE nspname = %s", [database.schema]).fetchone()
    contents = connection.execute(_CONTENTS, {"schema": row[0]}).fetchall() if row else []
    ours = {name for name, kind, columns in contents if kind == "r" and TABLES.get(name) in columns}
    if len(contents) != len(ours) or (ours and ours != {*TABLES}):
        raise UserError(
            f"{database.where}: the schema {database.schema} holds other things than a gallery; name another gallery, "
            "such as #market"
        )
    return bool(ours)


def drop(connection: Connection[Any], database: Database) -> None:
    """Remove a gallery, or the empty schema in its place, but nothing that is not ours.

    Args:
        connection: in a transaction that `holds` has looked in.
        database: of the gallery.

    Raises:
        UserError: something else depends on the gallery.
    """
    from psycopg import errors

    tables = ", ".join(f'"{database.schema}".{name}' for name in TABLES)  # in the order in which readers lock them
    try:
        connection.execute(f"DROP TABLE IF EXISTS {tables} RESTRICT")
        connection.execute(f'DROP SCHEMA IF EXISTS "{database.schema}" RESTRICT')
    except errors.DependentObjectsStillExist as error:
        first = (error.diag.message_detail or str(error)).splitlines()[0]
        raise UserError(
            f"{database.where}: not replaced, because other things depend on it ({first}); remove them, or name "
            "another gallery"
        ) from None


def create_indexes(connection: Connection[Any], layout: Layout) -> None:
    """Make the indexes, once the tables are filled."""
    connection.execute(_INDEXES)
    if layout.degree:
        connection.execute(layout.graph())
    connection.execute("ANALYZE images")


def read_head(connection: Connection[Any], database: Database, *, lock: bool = False) -> Head:
    """What the gallery is.

    Args:
        connection: in a transaction.
        database: of the gallery.
        lock: until the end of the transaction nobody else changes the gallery.

    Raises:
        UserError: there is none, or one of a newer version.
    """
    from psycopg import errors

    try:
        row = connection.execute(
            "SELECT version, factory, metric, dimension, model, parameters, next_id, count "
            f'FROM "{database.schema}".gallery {"FOR UPDATE" if lock else ""}'
        ).fetchone()
    except (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedColumn):
        row = None
    if not row:
        raise database.no_gallery()
    version, *values, count = row
    if version > latest():
        raise UserError(f"{database.where}: written by a newer version of reid_dml; update reid_dml")
    spec = IndexSpec(*values)
    return Head(spec, count, Layout.of(spec.factory, spec.dimension, spec.metric), version)


def latest() -> int:
    """The version of galleries that are made now."""
    return 1 + len(MIGRATIONS)


def migrate(connection: Connection[Any], schema: str) -> None:
    """Bring a gallery up to date; in a transaction that may change it, with a gallery that `read_head` has seen."""
    row = connection.execute(f'SELECT version FROM "{schema}".gallery FOR UPDATE').fetchone()
    for statements in MIGRATIONS[(row[0] if row else latest()) - 1 :]:
        connection.execute(statements)
    connection.execute(f'UPDATE "{schema}".gallery SET version = %s', [latest()])
