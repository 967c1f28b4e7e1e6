"""Public path of `reid_dml.ranking.rerank`."""

from reid_dml.ranking.rerank import k_reciprocal_distances

__all__ = ["k_reciprocal_distances"]
