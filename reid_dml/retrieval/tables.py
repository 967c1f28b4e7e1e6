"""Tables of retrieval metrics in percent, for terminals and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_RANKING_HEADER = ("mAP", "mAP trapezoid", "mINP", "rank-1", "rank-5", "rank-10")


class ReferenceRow(NamedTuple):
    """Somebody else's result to print beside ours, in percent; the AP is the trapezoid one."""

    label: str
    single: tuple[float, float]  # mAP, rank-1
    multi: tuple[float, float] | None  # mAP, rank-1


def network_labels(names: Sequence[str]) -> list[str]:
    """How tables call the networks of a cohort."""
    return [f"network {index} ({name})" for index, name in enumerate(names)]


def metrics_rows(
    metrics: Mapping[str, Any], labels: Sequence[str], references: Sequence[ReferenceRow] = ()
) -> list[list[str]]:
    """A table of percentages, header first: a row a network, the mean, the ensemble, and the published rows."""
    header = ["", *_RANKING_HEADER, "multi mAP", "multi rank-1"]
    rows = [header]
    rows += [[label, *_cells(found)] for label, found in zip(labels, metrics["networks"], strict=True)]
    for label in ("mean", "ensemble"):
        if label in metrics:
            rows.append([label, *_cells(metrics[label])])
    for row in references:
        multi = [f"{value:.2f}" for value in row.multi] if row.multi else ["", ""]
        rows.append([row.label, "", f"{row.single[0]:.2f}", "", f"{row.single[1]:.2f}", "", "", *multi])
    return rows


_FURTHER = {"expanded": "query expansion", "reranked": "re-ranked"}


def further_rows(metrics: Mapping[str, Any], labels: Sequence[str]) -> list[list[str]]:
    """A table of the protocols beside the single and multi query ones, header first; empty if none was run."""
    named = dict(zip(labels, metrics["networks"], strict=True))
    named |= {label: metrics[label] for label in ("mean", "ensemble") if label in metrics}
    rows = [
        [f"{label}, {title}", *_ranking_cells(found[protocol])]
        for label, found in named.items()
        for protocol, title in _FURTHER.items()
        if protocol in found
    ]
    return [["", *_RANKING_HEADER], *rows] if rows else []


def verification_rows(metrics: Mapping[str, Any], labels: Sequence[str]) -> list[list[str]]:
    """A table of true-positive rates of "same person?" decisions, header first; empty if none was measured."""
    named = dict(zip(labels, metrics["networks"], strict=True))
    named |= {label: metrics[label] for label in ("mean", "ensemble") if label in metrics}
    rates = list(metrics["networks"][0]["single_query"].get("tpr_at_fpr", {}))
    if not rates:
        return []
    header = ["", *(f"TPR at FPR {rate}" for rate in rates)]
    rows = [
        [label, *(f"{100 * found['single_query']['tpr_at_fpr'][rate]:.2f}" for rate in rates)]
        for label, found in named.items()
    ]
    return [header, *rows]


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned for a terminal: the first to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


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


def _cells(found: Mapping[str, Any]) -> list[str]:
    multi = found.get("multi_query")
    cells = _ranking_cells(found["single_query"])
    return cells + ([f"{100 * multi['mAP']:.2f}", f"{100 * multi['cmc'][0]:.2f}"] if multi else ["", ""])


def _ranking_cells(found: Mapping[str, Any]) -> list[str]:
    ranks = [found["cmc"][min(rank, len(found["cmc"])) - 1] for rank in (1, 5, 10)]
    return [f"{100 * value:.2f}" for value in (found["mAP"], found["mAP_trapezoid"], found["mINP"], *ranks)]
