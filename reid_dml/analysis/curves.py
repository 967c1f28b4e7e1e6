"""Curves of a run as plain data: what happened in training, and how matches are found by rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reid_dml.engine.progress import metrics_by_label

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


def cmc_curves(metrics: Mapping[str, Any], protocol: str = "single_query") -> dict[str, Curve]:
    """CMC over the ranks, a curve a network and one for the ensemble; empty if the protocol was not run."""
    rows = {f"network {index}": found for index, found in enumerate(metrics["networks"])}
    if "ensemble" in metrics:
        rows["ensemble"] = metrics["ensemble"]
    return {
        label: ([float(rank) for rank in range(1, len(found[protocol]["cmc"]) + 1)], list(found[protocol]["cmc"]))
        for label, found in rows.items()
        if protocol in found
    }
