"""The metrics of one network on one split."""

from __future__ import annotations

from functools import partial

from reid_dml.classification.measures import all_measures
from reid_dml.classification.statistics import SampleStatistics
from reid_dml.measured import measured


def classification_metrics(samples: SampleStatistics) -> dict[str, float]:
    """Every registered metric by name: `top1`, `top5`, `ece`, `entropy`, `loss` (see `classification/measures`).

    One that fails, or gives no finite number, is left out with a warning.

    Raises:
        ValueError: no images.
    """
    if not len(samples.rank):
        raise ValueError("metrics need at least one image")
    found = {
        name: measured(f"classification metric {name!r}", partial(measure.of_samples, samples), ())
        for name, measure in all_measures().items()
    }
    return {name: float(value) for name, value in found.items() if value is not None}
