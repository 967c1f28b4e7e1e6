"""The course of a run in its record: a few dozen points of its log, so that a figure needs no run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_POINTS = 100  # at most, of each curve


def recorded_curves(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Curves by what they show: `steps`, and the values of each of the `networks` at them.

    `loss` is the identity loss (cross entropy) in training, in nats. Where there are more than a hundred lines, several
    make one point: their mean, at the step of the last. The others are test metrics, where they were measured on the
    way (`TEST.INTERVAL`): fractions.

    Args:
        lines: of metrics.jsonl.
    """
    if not lines:
        return {}
    size = -(-len(lines) // _POINTS)
    groups = [lines[start : start + size] for start in range(0, len(lines), size)]
    networks = range(len(lines[0]["networks"]))
    losses = [
        [round(sum(line["networks"][index]["identity"] for line in group) / len(group), 5) for group in groups]
        for index in networks
    ]
    curves = {"loss": {"steps": [group[-1]["step"] for group in groups], "networks": losses}}
    tested = [line for line in lines if "test" in line]
    for name in tested[0]["test"]["networks"][0] if tested else ():
        values = [[line["test"]["networks"][index][name] for line in tested] for index in networks]
        curves[name] = {"steps": [line["step"] for line in tested], "networks": values}
    return curves
