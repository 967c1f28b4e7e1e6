"""Scoring feature files: metrics in a table and, if wanted, a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from reid_dml.commands.inputs import Read
from reid_dml.features.formats import read_features
from reid_dml.files import write_json
from reid_dml.ranking.scoring import ScoringOptions, score_files
from reid_dml.reporting.retrieval_table import RETRIEVAL
from reid_dml.reporting.tables import format_table, without_empty_columns
from reid_dml.timing import stages_line


def score_and_print(
    files: Mapping[str, Sequence[str | os.PathLike[str]]],
    *,
    ensemble: str = "normalized",
    json: str | os.PathLike[str] | None = None,
    read: Read = read_features,
    **options: Any,
) -> dict[str, Any]:
    """Score feature files, print the table, and return the metrics.

    Args:
        files: by split, `query`, `gallery` and, for multi-query, `boxes`: one or more files each.
        ensemble: how several files of a split are joined, see `ranking.scoring.score_files`.
        json: file for the metrics.
        read: from a file, folder or table to features, see `commands.inputs`.
        options: those of `ranking.scoring.ScoringOptions`.
    """
    chosen = ScoringOptions(**options)
    metrics = score_files(files, chosen, ensemble=ensemble, read=read)
    if json:
        write_json(json, metrics)
    table = {"networks": [metrics]}
    print(format_table(without_empty_columns(RETRIEVAL.rows(table, [f"{chosen.metric} distance"]))))
    for line in RETRIEVAL.notes(table):
        print(line)
    print(stages_line())
    return metrics
