"""The project's networks as Markdown: what each costs, and what the records know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reid_dml.cells import markdown_table, percent
from reid_dml.models.summary import NetworkSummary
from reid_dml.reporting.data_names import data_of

_MEASURED_ON = "market1501"


def networks_table(summaries: Sequence[NetworkSummary], records: Sequence[Mapping[str, Any]] = ()) -> str:
    """Parameters, MACs and width of the feature of networks, beside the best that a network of each has reached.

    Args:
        summaries: of the networks, each a row.
        records: of runs, in the layout of `result.json`; without any, the table has no columns for them.
    """
    header = ["network", "parameters", "MACs (M)", "width of the feature"]
    best = best_of_networks(records)
    if records:
        header += ["mAP", "rank-1", "run"]
    rows = [header]
    for found in summaries:
        row = [f"`{found.name}`", f"{found.parameters:,}", f"{found.macs / 1e6:,.1f}", str(found.feature_dim)]
        if records:
            row += best.get(found.name, ["not measured", "", ""])
        rows.append(row)
    return markdown_table(rows)


def best_of_networks(records: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """By architecture: mAP, rank-1 and run of the network with the highest mAP on Market-1501 by itself."""
    found: dict[str, tuple[float, list[str]]] = {}
    for record in records:
        if data_of(record) != _MEASURED_ON:
            continue
        for name, metrics in zip(record["networks"], record["metrics"]["networks"], strict=True):
            single = metrics["single_query"]
            if name not in found or single["mAP"] > found[name][0]:
                run = f"`{record['experiment']}`, {record['steps']:,} steps"
                found[name] = single["mAP"], [percent(single["mAP"]), percent(single["cmc"][0]), run]
    return {name: cells for name, (_, cells) in found.items()}
