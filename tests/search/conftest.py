"""Fixtures of the tests of galleries."""

from tests.search.database import server

__all__ = ["server"]
