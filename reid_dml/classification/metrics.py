"""The metrics of one network on one split."""

from __future__ import annotations

from reid_dml.classification.measures import all_measures
from reid_dml.classification.statistics import SampleStatistics


def classification_metrics(samples: SampleStatistics) -> dict[str, float]:
    """Every registered metric by name: `top1`, `top5`, `ece`, `entropy`, `loss` (see `classification/measures`).

    Raises:
        ValueError: no images.
    """
    if not len(samples.rank):
        raise ValueError("metrics need at least one image")
    return {name: measure.of_samples(samples) for name, measure in all_measures().items()}
