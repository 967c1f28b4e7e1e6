"""Connections to a database: kept for the next call, made anew where the server was started again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urldefrag

from reid_dml.errors import UnavailableError, UserError
from reid_dml.extras import check
from reid_dml.search.engines import shown

if TYPE_CHECKING:
    from psycopg import Connection

_NAME = "gallery"  # of a gallery whose place does not name it
_NOT_OURS = ("public", "information_schema")  # schemas that others put their things into; so are pg_...
_KEPT = 8  # connections that wait for the next call
# What a connection does unless its URL says otherwise: a server that is gone is noticed within seconds.
_DEFAULTS = {"connect_timeout": "5", "tcp_user_timeout": "30000", "application_name": "reid_dml"}
_LEAST = (0, 8)  # pgvector whose searches go on until there are enough images
# Makes tables of a schema known without its name, before those that are known already.
USE = "SELECT set_config('search_path', quote_ident(%s) || ',' || current_setting('search_path'), true)"


class Database:
    """The database of a gallery, for any number of threads.

    Attributes:
        schema: of the gallery.
        where: what messages call the gallery: its place without a password.

    Args:
        place: `postgresql://user@host/database?option=value#name`, an URL as libpq takes it and the gallery's name.

    Raises:
        UserError: no such URL or name, or psycopg is not installed.
    """

    def __init__(self, place: str) -> None:
        try:
            url, name = urldefrag(place)
            self.schema, self.where = name or _NAME, shown(place)
        except ValueError as error:
            raise UserError(f"postgresql://...: not an address of a database: {error}") from None
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,49}", self.schema) or self.schema.startswith("pg_"):
            raise UserError(
                f"{self.where}: {self.schema!r} is no name of a gallery; use small letters, digits and _, such as "
                "#market"
            )
        if self.schema in _NOT_OURS:
            raise UserError(
                f"{self.where}: a gallery has a schema of its own, and {self.schema} holds other things; name another, "
                "such as #market"
            )
        check(("psycopg", "pgvector"), "db", self.where)
        import psycopg
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

        try:
            self._url = make_conninfo("", **{**_DEFAULTS, **conninfo_to_dict(url)})
        except psycopg.Error as error:
            raise UserError(
                f"{self.where}: not an URL of a database ({_line(error)}); write postgresql://user@host/database"
            ) from None
        self._idle: list[Connection[Any]] = []

    @contextmanager
    def transaction(self, *, change: bool = False) -> Iterator[Connection[Any]]:
        """A transaction, in which tables of the gallery need no schema's name; committed at the end or undone.

        A reader sees the gallery as it was at one moment.

        Args:
            change: the gallery is to be made or changed.

        Raises:
            UnavailableError: the server does not answer, or was lost meanwhile.
            UserError: there is no gallery to read, or the server refuses what the user may not do.
        """
        with _in_words(self.where):
            connection = self._begun(change)
            try:
                yield connection
                self._commit(connection, change)
            finally:
                self._give_back(connection)

    def _begun(self, change: bool) -> Connection[Any]:
        from psycopg import IsolationLevel, OperationalError, errors

        while True:
            try:
                connection, waited = self._idle.pop(), True
            except IndexError:
                connection, waited = self._connect(), False
            try:
                connection.isolation_level = None if change else IsolationLevel.REPEATABLE_READ
                connection.read_only = not change
                if not change:  # before anything is seen: nobody replaces what this transaction will see
                    connection.execute(f'LOCK TABLE "{self.schema}".gallery IN ACCESS SHARE MODE')
                connection.execute(USE, [self.schema])
            except (errors.UndefinedTable, errors.InvalidSchemaName):
                self._give_back(connection)
                raise self.no_gallery() from None
            except OperationalError:
                connection.close()
                if not waited:
                    raise
                continue  # it died while it waited: nothing of this transaction has been done
            except BaseException:
                connection.close()
                raise
            return connection

    def no_gallery(self) -> UserError:
        """What to say where there is no gallery of this name."""
        return UserError(f"{self.where}: the database holds no gallery {self.schema}; make one with reid-dml index")

    def _connect(self) -> Connection[Any]:
        import psycopg

        return psycopg.connect(self._url)

    def _commit(self, connection: Connection[Any], change: bool) -> None:
        from psycopg import OperationalError

        try:
            connection.commit()
        except OperationalError as error:
            if not change:
                raise
            raise UnavailableError(
                f"{self.where}: the server was lost while it kept the change ({_line(error)}); look whether the images "
                "are there before you try again"
            ) from None

    def _give_back(self, connection: Connection[Any]) -> None:
        from psycopg import Error

        with suppress(Error):
            connection.rollback()  # without effect behind a commit
            if not connection.closed and len(self._idle) < _KEPT:
                self._idle.append(connection)
                return
        connection.close()


def use_vectors(connection: Connection[Any], where: str) -> None:
    """Let a connection exchange vectors, once. Raises `UserError` where the database has no pgvector, or an old one."""
    from pgvector.psycopg import register_vector

    if connection.adapters.types.get("vector"):
        return
    row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    if not row:
        raise UserError(f"{where}: the database has no pgvector; ask for CREATE EXTENSION vector")
    if tuple(int(number) for number in row[0].split(".")[:2]) < _LEAST:
        raise UserError(
            f"{where}: pgvector {row[0]} is too old; update it to 0.8 or later (ALTER EXTENSION vector UPDATE)"
        )
    register_vector(connection)


@contextmanager
def _in_words(where: str) -> Iterator[None]:
    """Turn what the server says of itself into one line."""
    import psycopg
    from psycopg import errors

    try:
        yield
    except errors.DiskFull as error:
        raise UserError(f"{where}: the server's disk is full ({_line(error)}); nothing was changed") from None
    except errors.InsufficientPrivilege as error:
        raise UserError(f"{where}: not permitted ({_line(error)}); ask whoever keeps the database") from None
    except errors.ReadOnlySqlTransaction as error:
        raise UserError(f"{where}: cannot be changed there ({_line(error)}); name the primary server") from None
    except errors.ProgramLimitExceeded as error:
        raise UserError(f"{where}: beyond a limit of PostgreSQL ({_line(error)}); nothing was changed") from None
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise UnavailableError(
            f"{where}: the database does not answer ({_line(error)}); check the URL and the server, then try again"
        ) from None


def _line(error: Exception) -> str:
    return " ".join(str(error).strip().split("\n")[0].split())
