"""From the metrics of each network of a cohort, or of several runs, to their mean and standard deviation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def with_mean_and_sd(networks: Sequence[Any]) -> dict[str, Any]:
    """{"networks", "mean", "sd"}: nested metrics of equal layout; sd is the sample's; both are absent for one network.

    Counts that agree stay what they are.
    """
    results: dict[str, Any] = {"networks": list(networks)}
    if len(networks) > 1:
        results["mean"], results["sd"] = mean_and_sd(networks)
    return results


def mean_and_sd(metrics: Sequence[Any]) -> tuple[Any, Any]:
    """Mean and the sample's standard deviation of two or more nested metrics of equal layout, in that layout."""
    mean = _combine(metrics, lambda values: float(np.mean(values)))
    return mean, _combine(metrics, lambda values: float(np.std(values, ddof=1)))


def _combine(values: Sequence[Any], reduce: Callable[[Sequence[float]], float]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        return {key: _combine([value[key] for value in values], reduce) for key in first}
    if isinstance(first, list):
        return [_combine(list(column), reduce) for column in zip(*values, strict=True)]
    return first if isinstance(first, int) else reduce(values)
