"""Curves of runs as plain data: what happened in training, and how matches are found by rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reid_dml.cohort_metrics import metrics_by_label
from reid_dml.runs.curves import recorded_curves

Curve = tuple[list[float], list[float]]


def training_curves(lines: Sequence[Mapping[str, Any]], name: str) -> dict[str, Curve]:
    """One metric of metrics.jsonl over the steps, a curve a network that has it."""
    curves: dict[str, Curve] = {}
    for line in lines:
        for index, metrics in enumerate(line["networks"]):
            if name in metrics:
                steps, values = curves.setdefault(f"network {index}", ([], []))
                steps.append(line["step"])
                values.append(metrics[name])
    return curves


def evaluation_curves(lines: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Curve]]:
    """Test metrics over the steps by name, a curve a network and one for the ensemble; empty where none were measured.

    They are measured every `TEST.INTERVAL` steps (CVPR, Fig. 2).
    """
    curves: dict[str, dict[str, Curve]] = {}
    for line in lines:
        for label, metrics in metrics_by_label(line["test"]).items() if "test" in line else ():
            for name, value in metrics.items():
                steps, values = curves.setdefault(name, {}).setdefault(label, ([], []))
                steps.append(line["step"])
                values.append(value)
    return curves


def curves_of_runs(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, Curve]]:
    """The courses of several runs by quantity (see `runs.curves.recorded_curves`), a curve a network.

    Args:
        logs: the lines of metrics.jsonl by the name of the run.
    """
    curves: dict[str, dict[str, Curve]] = {}
    for run, lines in logs.items():
        for quantity, course in recorded_curves(lines).items():
            for index, values in enumerate(course["networks"]):
                curves.setdefault(quantity, {})[f"{run}, network {index}"] = (course["steps"], values)
    return curves


def unit_of(quantity: str) -> tuple[str, float]:
    """What an axis says of a quantity of `recorded_curves`, and the factor to that unit."""
    if quantity == "loss":
        return "cross entropy (nats)", 1.0
    return f"{'top-1 accuracy' if quantity == 'top1' else quantity} (%)", 100.0


def cmc_curves(metrics: Mapping[str, Any], protocol: str = "single_query") -> dict[str, Curve]:
    """CMC over the ranks, a curve a network and one for each ensemble; empty if the protocol was not run."""
    return {
        label: ([float(rank) for rank in range(1, len(found[protocol]["cmc"]) + 1)], list(found[protocol]["cmc"]))
        for label, found in metrics_by_label(metrics).items()
        if protocol in found
    }
