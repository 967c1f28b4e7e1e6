"""Run records as Markdown: tables of the runs of each data set, and how each was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reid_dml.cells import markdown_table, percent, with_sd
from reid_dml.cohort_metrics import in_common, mean_and_sd
from reid_dml.errors import UserError
from reid_dml.reporting.data_names import data_of
from reid_dml.reporting.tables import MetricsTable, network_labels, without_empty_columns

_FIRST = "market1501"  # whose section begins the page


def run_sections(records: Sequence[Mapping[str, Any]], tables: Mapping[str, MetricsTable]) -> str:
    """A section a data set: a table of all its runs and how each was measured.

    Args:
        records: of the runs, in the layout of `result.json`.
        tables: how the metrics of each task are shown.

    Raises:
        UserError: two records of one experiment and seed, or of other networks.
    """
    parts = []
    for dataset in sorted({data_of(record) for record in records}, key=lambda name: (name != _FIRST, name)):
        own = [record for record in records if data_of(record) == dataset]
        parts.append(f"## {dataset}\n")
        if headline := _headline(own):
            parts.append(headline)
        parts.append(_table(own, tables))
        parts.append("### How it was measured\n")
        parts += [_how(record) for record in own]
    return "\n".join(parts)


def _headline(records: Sequence[Mapping[str, Any]]) -> str:
    """What the best run of a retrieval data set reached, in a sentence; empty for other tasks."""
    found = []
    for record in records:
        metrics = record["metrics"]
        reached = {
            "the ensemble": metrics.get("ensemble"),
            "the networks' mean": metrics.get("mean"),
            "the network": metrics["networks"][0] if len(metrics["networks"]) == 1 else None,
        }
        for who, numbers in reached.items():
            if numbers and "single_query" in numbers:
                found.append((numbers["single_query"], who, record))
                break
    if not found:
        return ""
    single, who, record = max(found, key=lambda entry: entry[0]["mAP"])
    return (
        f"**mAP {percent(single['mAP'])} %, rank-1 {percent(single['cmc'][0])} %** (single query): {who} of "
        f"`{record['experiment']}`, {record['steps']:,} steps in {record['wall_seconds'] / 60:.1f} minutes on "
        f"{record['device']}, seed {record['seed']}.\n"
    )


def headline_table(records: Sequence[Mapping[str, Any]]) -> str:
    """A few columns of the trained runs of the first data set, the mean of the networks and their ensemble."""
    rows = [["run", "mAP", "rank-1", "ensemble mAP", "ensemble rank-1", "training"]]
    for record in records:
        metrics = record["metrics"]
        if data_of(record) == _FIRST and record["steps"] and {"mean", "ensemble"} <= metrics.keys():
            found = [metrics[label]["single_query"] for label in ("mean", "ensemble")]
            cells = [percent(number) for one in found for number in (one["mAP"], one["cmc"][0])]
            minutes = f"{record['steps']:,} steps, {record['wall_seconds'] / 60:.1f} min on {record['device']}"
            rows.append([f"`{record['experiment']}`", *cells, minutes])
    return markdown_table(rows)


def _table(records: Sequence[Mapping[str, Any]], tables: Mapping[str, MetricsTable]) -> str:
    rows: list[list[str]] = []
    for experiment in dict.fromkeys(record["experiment"] for record in records):
        runs = [record for record in records if record["experiment"] == experiment]
        # Records of before there was a second task do not name theirs.
        header, *body = _rows(runs, tables[runs[0].get("task", "retrieval")])
        rows = rows or [["experiment", *header]]
        title = f"{experiment}, {runs[0]['steps']:,} steps" + (f" (n = {len(runs)})" if len(runs) > 1 else "")
        rows += [[title if number == 0 else "", *cells] for number, cells in enumerate(body)]
    return markdown_table(without_empty_columns(rows))


def _rows(runs: Sequence[Mapping[str, Any]], table: MetricsTable) -> list[list[str]]:
    """Header and rows of one experiment: of its run, or mean ± sd over its runs, which differ in their seeds."""
    labels = network_labels(runs[0]["networks"])
    if len(runs) == 1:
        return table.rows(runs[0]["metrics"], labels)
    if len({run["seed"] for run in runs}) < len(runs):
        raise UserError(
            f"{runs[0]['experiment']}: two records of one seed; remove one, or name their experiments apart"
        )
    for run in runs:
        if run["networks"] != runs[0]["networks"]:
            raise UserError(
                f"{run['experiment']}: records of {' + '.join(runs[0]['networks'])} and of "
                f"{' + '.join(run['networks'])}; remove one, or name their experiments apart"
            )
    (header, *means), (_, *deviations) = (
        table.rows(metrics, labels) for metrics in mean_and_sd(in_common([_measured(run) for run in runs]))
    )
    both = [zip(mean[1:], deviation[1:], strict=True) for mean, deviation in zip(means, deviations, strict=True)]
    cells = [[with_sd(mean, deviation) for mean, deviation in row] for row in both]
    return [header, *([mean[0], *row] for mean, row in zip(means, cells, strict=True))]


def _measured(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run's metrics without the deviations among its networks, of which a deviation says nothing, and words."""
    return {key: value for key, value in run["metrics"].items() if key not in ("sd", "not_run")}


def _how(record: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    objective = ", ".join(f"{key} {value}" for key, value in record["objective"].items() if value not in ([], {}))
    processes, precision = record.get("processes", 1), record.get("precision", "float32")
    device = record["device"] + (f", {processes} processes" if processes > 1 else "")
    return (
        f"- **{record['experiment']}** (scale {record['scale']}): {objective}; {record['update']} updates; "
        f"{record['steps']:,} steps in {precision}; seed {record['seed']}; {record['wall_seconds'] / 60:.1f} minutes "
        f"of training; {device}; {versions}; revision `{record['git_revision']}`\n"
    )
