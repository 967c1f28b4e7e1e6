"""Retrieval: features of images, search, rankings and their metrics."""

from reid_dml.retrieval.features import FeatureSet

__all__ = ["FeatureSet"]
