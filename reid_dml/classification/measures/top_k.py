"""Top-1 and top-5 accuracy."""

from __future__ import annotations

from reid_dml.classification.measures import register_measure
from reid_dml.classification.statistics import SampleStatistics


@register_measure("top1", title="top-1", of_train=True, order=0)
def top_1(samples: SampleStatistics) -> float:
    """Share of images whose right class is more probable than any other; a tie counts as wrong."""
    return float((samples.rank < 1).mean())


@register_measure("top5", title="top-5", order=1)
def top_5(samples: SampleStatistics) -> float:
    """Share of images with fewer than five wrong classes at least as probable as the right one."""
    return float((samples.rank < 5).mean())
