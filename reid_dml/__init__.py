"""reid_dml: person re-identification with deep mutual learning.

The names below stay put. They are imported at first use, so that `import reid_dml` takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from reid_dml.versions import __version__

__all__ = [
    "FeatureExtractor",
    "FeatureSet",
    "__version__",
    "evaluate_distances",
    "evaluate_rankings",
    "k_reciprocal_distances",
    "mutual_losses",
    "pool_multi_query",
    "student_loss",
]

if TYPE_CHECKING:
    from reid_dml.features import FeatureSet
    from reid_dml.features.extractor import FeatureExtractor
    from reid_dml.mutual.losses import mutual_losses, student_loss
    from reid_dml.ranking.metrics import evaluate_distances, evaluate_rankings
    from reid_dml.ranking.multi_query import pool_multi_query
    from reid_dml.ranking.rerank import k_reciprocal_distances

_MODULES = {
    "FeatureExtractor": "reid_dml.features.extractor",
    "FeatureSet": "reid_dml.features",
    "evaluate_distances": "reid_dml.ranking.metrics",
    "evaluate_rankings": "reid_dml.ranking.metrics",
    "k_reciprocal_distances": "reid_dml.ranking.rerank",
    "mutual_losses": "reid_dml.mutual.losses",
    "pool_multi_query": "reid_dml.ranking.multi_query",
    "student_loss": "reid_dml.mutual.losses",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value  # from now on an ordinary attribute
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
