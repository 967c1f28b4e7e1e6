"""The entropy of the posterior."""

from __future__ import annotations

from reid_dml.classification.measures import register_measure
from reid_dml.classification.statistics import SampleStatistics


@register_measure("entropy", share=False, of_train=True, order=3)
def entropy(samples: SampleStatistics) -> float:
    """Mean over images, nats."""
    return float(samples.entropy.mean())
