"""How retrieval metrics are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reid_dml.cells import nats, percent, rank_cells
from reid_dml.cohort_metrics import metrics_by_label
from reid_dml.ranking.measures import all_measures
from reid_dml.reporting.tables import MetricsTable

_NO_BOXES = "no further images (gt_bbox) of the queries in known cameras were given"
_FURTHER = {"multi_query": "multi", "expanded": "expanded", "reranked": "re-ranked"}  # protocols beside single query


def _columns() -> list[str]:
    further = [f"{title} {metric}" for title in _FURTHER.values() for metric in ("mAP", "rank-1")]
    further.insert(1, "multi mAP trapezoid")  # which the papers report
    measures = (measure.title for measure in all_measures().values())
    return [*measures, "rank-1", "rank-5", "rank-10", *further, "train accuracy", "train entropy"]


def _cells(found: Mapping[str, Any]) -> list[str]:
    single = found["single_query"]
    train = found.get("classification", {}).get("train", {})
    cells = [percent(single.get(name)) for name in all_measures()]  # records may be older than a measure
    cells += rank_cells(single["cmc"])
    for protocol in _FURTHER:
        metrics = found.get(protocol, {})
        cells.append(percent(metrics.get("mAP")))
        if protocol == "multi_query":
            cells.append(percent(metrics.get("mAP_trapezoid")))
        cells.append(percent(metrics["cmc"][0] if metrics else None))
    return [*cells, percent(train.get("top1")), nats(train.get("entropy"))]


def notes(metrics: Mapping[str, Any]) -> list[str]:
    """What a reader of the table must know: queries without a match, protocols that were not run."""
    first = metrics["networks"][0]
    lines = []
    single = first["single_query"]
    if single["num_unmatched"]:
        lines.append(
            f"{single['num_unmatched']} of {single['num_queries'] + single['num_unmatched']} queries have no "
            f"match in the gallery and {'count as 0' if single.get('unmatched') == 'zero' else 'are left out'}"
        )
    if "multi_query" not in first:
        why = metrics.get("not_run", {}).get("multi_query", _NO_BOXES)
        lines.append(f"multi-query was not run: {why}")
    named = metrics_by_label(metrics)
    for rate in single.get("tpr_at_fpr", {}):
        values = (f"{label} {percent(found['single_query']['tpr_at_fpr'][rate])}" for label, found in named.items())
        lines.append(f"true-positive rate (%) of pairs at a false-positive rate of {rate}: {', '.join(values)}")
    if "entropy" in first.get("classification", {}).get("train", {}):
        lines.append("the entropy is the mean over the training images' posteriors, in nats")
    return lines


RETRIEVAL = MetricsTable("Retrieval metrics (%)", _columns, _cells, notes, ("mAP", "rank-1"))
