"""From the metrics of each network of a cohort to those of the cohort."""

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
        results["mean"] = _combine(networks, lambda values: float(np.mean(values)))
        results["sd"] = _combine(networks, lambda values: float(np.std(values, ddof=1)))
    return results


def _combine(values: Sequence[Any], reduce: Callable[[Sequence[float]], float]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        return {key: _combine([value[key] for value in values], reduce) for key in first}
    if isinstance(first, list):
        return [_combine(list(column), reduce) for column in zip(*values, strict=True)]
    return first if isinstance(first, int) else reduce(values)
