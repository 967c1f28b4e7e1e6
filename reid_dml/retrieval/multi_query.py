"""Public path of `reid_dml.ranking.multi_query`."""

from reid_dml.ranking.multi_query import pool_multi_query

__all__ = ["pool_multi_query"]
