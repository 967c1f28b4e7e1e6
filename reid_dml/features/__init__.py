"""Features of images: the value object, its files, and extraction from networks."""

from reid_dml.features.feature_set import FeatureSet

__all__ = ["FeatureSet"]
