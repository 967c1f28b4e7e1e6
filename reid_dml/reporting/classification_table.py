"""How classification metrics are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reid_dml.cells import nats, percent
from reid_dml.classification.measures import Measure, all_measures
from reid_dml.reporting.tables import MetricsTable


def _columns() -> list[str]:
    measures = all_measures().values()
    return [*(one.title for one in measures), *(f"train {one.title}" for one in measures if one.of_train)]


def _cells(found: Mapping[str, Any]) -> list[str]:
    test, train = found["classification"]["test"], found["classification"].get("train", {})
    measures = all_measures()
    return [
        *(_cell(measure, test.get(name)) for name, measure in measures.items()),
        *(_cell(measure, train.get(name)) for name, measure in measures.items() if measure.of_train),
    ]


def _cell(measure: Measure, value: float | None) -> str:
    """A metric as a cell; empty where it was not measured, as in a record that is older than it."""
    return percent(value) if measure.share else nats(value)


def _notes(metrics: Mapping[str, Any]) -> list[str]:
    return ["top-1, top-5 and ECE (15 bins) in %, entropy of the posterior and loss in nats"]


CLASSIFICATION = MetricsTable(
    "Classification metrics",
    _columns,
    _cells,
    _notes,
)
