"""How retrieval metrics are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reid_dml.tables import MetricsTable, percent


def _cells(found: Mapping[str, Any]) -> list[str]:
    single, multi = found["single_query"], found.get("multi_query")
    ranks = [single["cmc"][min(rank, len(single["cmc"])) - 1] for rank in (1, 5, 10)]
    pooled = (multi["mAP"], multi["cmc"][0]) if multi else (None, None)
    train = found.get("classification", {}).get("train", {}).get("top1")
    return [percent(v) for v in (train, single["mAP"], single["mAP_trapezoid"], single["mINP"], *ranks, *pooled)]


def notes(metrics: Mapping[str, Any]) -> list[str]:
    """What a reader of the table must know: queries without a match, protocols that were not run."""
    first = metrics["networks"][0]
    lines = []
    single = first["single_query"]
    if single["num_unmatched"]:
        lines.append(
            f"{single['num_unmatched']} of {single['num_queries'] + single['num_unmatched']} queries have no "
            "match in the gallery and are left out"
        )
    if "multi_query" not in first:
        lines.append("multi-query was not run: it needs gt_bbox images of known cameras")
    return lines


RETRIEVAL = MetricsTable(
    "Retrieval metrics (%)",
    (
        "train accuracy",
        "mAP",
        "mAP trapezoid",
        "mINP",
        "rank-1",
        "rank-5",
        "rank-10",
        "multi mAP",
        "multi rank-1",
    ),
    _cells,
    notes,
)
