"""The course of a run in its record: a few dozen points of its log, so that a figure needs no run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_POINTS = 100  # at most, of each curve


def recorded_curves(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Curves by what they show: `steps`, and the values of each of the `networks` at them.

    `loss` is the identity loss (cross entropy) in training, in nats. Where there are more than a hundred lines, several
    make one point: their mean, at the step of the last.

    Args:
        lines: of metrics.jsonl.
    """
    if not lines:
        return {}
    size = -(-len(lines) // _POINTS)
    groups = [lines[start : start + size] for start in range(0, len(lines), size)]
    networks = [
        [round(sum(line["networks"][index]["identity"] for line in group) / len(group), 5) for group in groups]
        for index in range(len(lines[0]["networks"]))
    ]
    return {"loss": {"steps": [group[-1]["step"] for group in groups], "networks": networks}}
