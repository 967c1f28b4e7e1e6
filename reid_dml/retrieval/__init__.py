"""Names of earlier versions that stay: features are in `reid_dml.features`, metrics in `reid_dml.ranking`."""

from reid_dml.features import FeatureSet

__all__ = ["FeatureSet"]
