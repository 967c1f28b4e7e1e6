"""How classification metrics are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reid_dml.reporting.tables import MetricsTable, percent


def _cells(found: Mapping[str, Any]) -> list[str]:
    test, train = found["classification"]["test"], found["classification"].get("train", {})
    shares = [percent(test[name]) for name in ("top1", "top5", "ece")]
    nats = [f"{test[name]:.4f}" for name in ("entropy", "loss")]
    return [*shares, *nats, percent(train.get("top1")), f"{train['entropy']:.4f}" if train else ""]


def _notes(metrics: Mapping[str, Any]) -> list[str]:
    return ["top-1, top-5 and ECE (15 bins) in %, entropy of the posterior and loss in nats"]


CLASSIFICATION = MetricsTable(
    "Classification metrics",
    ("top-1", "top-5", "ECE", "entropy", "loss", "train top-1", "train entropy"),
    _cells,
    _notes,
)
