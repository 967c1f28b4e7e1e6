"""The page of measured results: run records read from a folder, and the tables made from them put into the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reid_dml.config import load_config
from reid_dml.errors import UserError, absolute
from reid_dml.paper.published import PUBLISHED
from reid_dml.reporting.markdown import fill_marks
from reid_dml.reporting.run_tables import run_sections
from reid_dml.reporting.task_tables import TABLES


def read_records(folder: Path) -> list[dict[str, Any]]:
    """All run records below a folder, by path; those of `benchmarks/` are no runs.

    Raises `UserError` for a file that is none, and for a folder without any.
    """
    records = []
    for path in sorted(set(folder.rglob("*.json")) - set((folder / "benchmarks").rglob("*.json"))):
        try:
            record = json.loads(path.read_text())
            record["metrics"]["networks"], record["experiment"]
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{path}: not a run record (result.json of a run); remove it or copy the record again"
            ) from None
        records.append(record)
    if not records:
        raise UserError(f"{absolute(folder)}: holds no run records (result.json of runs); check the path")
    return records


def full_experiments(configs: Path) -> dict[str, str]:
    """The data set of every experiment at the full scale below a folder of configs, by its name."""
    shared = ("base", "small", "wd")  # files that others build on
    loaded = [load_config(path) for path in sorted(configs.rglob("*.yml")) if not path.stem.endswith(shared)]
    return {cfg.EXPERIMENT: cfg.DATA.NAME for cfg in loaded if cfg.SCALE == "full"}


def results_page(
    page: str,
    records: Sequence[Mapping[str, Any]],
    full: Mapping[str, str] | None = None,
    path: object = "docs/results.md",
) -> str:
    """The page with the tables of these runs between its marks `<!-- runs: begin -->` and `<!-- runs: end -->`.

    Args:
        page: its text.
        records: of the runs.
        full: data sets of the experiments of which a record at the full scale is wanted, by name.
        path: of the page, for errors.

    Raises:
        UserError: a page without its marks, or two records of one experiment and seed.
    """
    return fill_marks(page, "runs", run_sections(records, TABLES, PUBLISHED, full), path)
