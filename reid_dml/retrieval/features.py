"""Public path of `reid_dml.features`."""

from reid_dml.features import FeatureSet

__all__ = ["FeatureSet"]
