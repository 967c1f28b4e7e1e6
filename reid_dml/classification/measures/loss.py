"""The cross entropy."""

from __future__ import annotations

from reid_dml.classification.measures import register_measure
from reid_dml.classification.statistics import SampleStatistics


@register_measure("loss", share=False, order=4)
def loss(samples: SampleStatistics) -> float:
    """Mean over images without label smoothing, nats."""
    return float(samples.loss.mean())
