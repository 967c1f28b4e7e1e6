"""The metrics of a cohort: of its networks, their mean and sd (those of several runs, too), and its ensembles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def with_mean_and_sd(networks: Mapping[int, Any]) -> dict[str, Any]:
    """{"networks": [metrics of each], "mean", "sd"} of nested metrics by the network's index in its cohort.

    Mean and sd are of what all networks have: a measure that failed for one has no mean. They are absent for one
    network. "indices" says which networks these are, where they are not the first ones of their cohort.
    """
    order = sorted(networks)
    found = [networks[index] for index in order]
    results: dict[str, Any] = {"networks": found}
    if order != list(range(len(order))):
        results["indices"] = order
    if len(found) > 1:
        results["mean"], results["sd"] = mean_and_sd(in_common(found))
    return results


def indices_of(metrics: Mapping[str, Any]) -> list[int]:
    """Which networks of a cohort a cohort's metrics are of."""
    return list(metrics.get("indices", range(len(metrics["networks"]))))


def ensembles(members: Sequence[int], sizes: Sequence[int], measure: Callable[[Sequence[int]], Any]) -> dict[str, Any]:
    """The metrics of the ensemble of all networks, and of the first ones; nothing for one network.

    Args:
        members: the networks by their index in the cohort, in order.
        sizes: how many of the cohort's first ones make an ensemble each (`TEST.ENSEMBLE_SIZES`); those of which some
            are not there, or that are all, are left out.
        measure: from members to the metrics of their ensemble.

    Returns:
        {"ensembles": {"2": metrics, ...}, "ensemble": metrics}; "ensembles" only if there are any.
    """
    if len(members) < 2:
        return {}
    first = [size for size in sorted(sizes) if size < len(members) and list(members[:size]) == list(range(size))]
    some = {str(size): measure(members[:size]) for size in first}
    return {**({"ensembles": some} if some else {}), "ensemble": measure(members)}


def of_members(metrics: Mapping[str, Any], members: Sequence[int]) -> dict[str, Any]:
    """A cohort's metrics with those of some of its networks alone, as if only these had been evaluated.

    Args:
        metrics: of the cohort.
        members: by their index in the cohort; those without metrics are left out.

    Returns:
        The same layout, without an "ensemble" where that of these networks was not evaluated.
    """
    places = {index: place for place, index in enumerate(indices_of(metrics))}
    kept = sorted(index for index in members if index in places)
    if kept == list(places):
        return dict(metrics)
    found = with_mean_and_sd({index: metrics["networks"][places[index]] for index in kept})
    known = metrics.get("ensembles", {}) if kept == list(range(len(kept))) else {}
    smaller = {size: one for size, one in known.items() if int(size) < len(kept)}
    found |= {"ensembles": smaller} if smaller else {}
    found |= {"ensemble": known[str(len(kept))]} if str(len(kept)) in known else {}
    return found | ({"not_run": metrics["not_run"]} if "not_run" in metrics else {})


def metrics_by_label(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of each network and of the ensembles by what tables call them: `network 0`, ..., `ensemble`."""
    rows = {f"network {index}": one for index, one in zip(indices_of(metrics), metrics["networks"], strict=True)}
    return rows | ensembles_by_label(metrics)


def ensembles_by_label(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The ensembles of a cohort's metrics by what tables call them, that of all networks last."""
    named = {ensemble_label(int(size)): found for size, found in metrics.get("ensembles", {}).items()}
    return named | ({"ensemble": metrics["ensemble"]} if "ensemble" in metrics else {})


def ensemble_label(size: int) -> str:
    """What tables call the ensemble of the first networks of a cohort."""
    return f"ensemble of the first {size}"


def mean_and_sd(metrics: Sequence[Any]) -> tuple[Any, Any]:
    """Mean and the sample's standard deviation of two or more nested metrics of equal layout, in that layout.

    Only measured values (float) have a standard deviation; counts (int) and words are in the mean only. Counts that
    agree stay what they are, as those of one cohort do; those of runs on different data are averaged.

    Raises:
        ValueError: metrics of different layouts, or words that differ.
    """
    return _combine(metrics, _mean), _combine(metrics, _sd)


def in_common(metrics: Sequence[Any]) -> list[Any]:
    """Nested metrics without what not all of them have: records may be older than a metric, and metrics
    can fail."""
    first = metrics[0]
    if isinstance(first, list) and first and len({len(one) for one in metrics}) == 1:
        return [list(one) for one in zip(*(in_common(column) for column in zip(*metrics, strict=True)), strict=True)]
    if not isinstance(first, dict):
        return list(metrics)
    columns = {key: in_common([one[key] for one in metrics]) for key in first if all(key in one for one in metrics)}
    return [{key: column[place] for key, column in columns.items()} for place in range(len(metrics))]


def _mean(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, float) or (isinstance(first, int) and any(value != first for value in values)):
        return float(np.mean(values))
    if any(value != first for value in values):
        raise ValueError(f"no mean of {', '.join(map(str, values))}")
    return first


def _sd(values: Sequence[Any]) -> float | None:
    return float(np.std(values, ddof=1)) if isinstance(values[0], float) else None


def _combine(values: Sequence[Any], reduce: Callable[[Sequence[Any]], Any]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        if any(value.keys() != first.keys() for value in values):
            raise ValueError(f"metrics of different layouts: {' and '.join(str(list(value)) for value in values)}")
        combined = {key: _combine([value[key] for value in values], reduce) for key in first}
        return {key: value for key, value in combined.items() if value is not None}
    if isinstance(first, list):
        return [_combine(list(column), reduce) for column in zip(*values, strict=True)]
    return reduce(values)
