"""How an evaluation is shown: its table in the terminal, and the page with its pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from yacs.config import CfgNode

from reid_dml.cohort_metrics import indices_of
from reid_dml.data.sets import split_entry, tested_entry, trained_entries
from reid_dml.errors import UserError
from reid_dml.paper.published import published_rows
from reid_dml.paths import require_file
from reid_dml.processes import rank
from reid_dml.report_page.calibration_sections import calibration_figures, calibration_sections
from reid_dml.report_page.page import Control, write_report
from reid_dml.report_page.retrieval_sections import retrieval_figures, retrieval_sections
from reid_dml.report_page.sections import Section
from reid_dml.report_page.training_section import training_section
from reid_dml.reporting.tables import ReferenceRow, format_table, without_empty_columns
from reid_dml.reporting.task_tables import TABLES
from reid_dml.runs.folder import RunFolder
from reid_dml.runs.record import read_record
from reid_dml.tasks.task import Evaluation
from reid_dml.timing import stages_line

# What the page shows of a task's evaluation below the table.
SECTIONS: dict[str, Callable[[Any], list[Section]]] = {
    "retrieval": lambda evaluation: retrieval_sections(evaluation.metrics, evaluation.features),
    "classification": lambda evaluation: calibration_sections(evaluation.bins),
}
# The figures of an evaluation by name, as SVG.
FIGURES: dict[str, Callable[[Any], dict[str, str]]] = {
    "retrieval": lambda evaluation: retrieval_figures(evaluation.metrics, evaluation.features),
    "classification": lambda evaluation: calibration_figures(evaluation.bins),
}


def say(text: str) -> None:
    """Print on process 0."""
    if rank() == 0:
        print(text, flush=True)


def expected_rows(cfg: CfgNode) -> list[ReferenceRow]:
    """The published rows of `EXPECTED` that results of this config's data may stand beside.

    Raises `UserError` for a key nobody published.
    """
    trained = [split_entry(entry)[0] for entry in trained_entries(cfg)]
    return published_rows(cfg.EXPECTED, split_entry(tested_entry(cfg))[0], trained)


def print_metrics(
    kind: str, metrics: Mapping[str, Any], labels: Sequence[str], references: Sequence[ReferenceRow] = ()
) -> None:
    """Print the table, its notes, and what the stages of the command took.

    Args:
        kind: of the task.
        metrics: of an evaluation.
        labels: of its networks.
        references: published rows to show beside ours.
    """
    table = TABLES[kind]
    say("\n" + format_table(without_empty_columns(table.rows(metrics, labels, references))))
    for line in table.notes(metrics):
        say(line)
    say(stages_line())


def task_report(
    path: str | Path,
    record: Mapping[str, Any],
    kind: str,
    evaluation: Evaluation,
    references: Sequence[ReferenceRow] = (),
    *,
    lines: Sequence[Mapping[str, Any]] = (),
    control: Mapping[str, Any] | None = None,
    control_folder: str = "",
) -> None:
    """Write the page of an evaluation.

    Args:
        path: file to write.
        record: a run record (result.json), or the part of it that is known.
        kind: of the task.
        evaluation: what the task returned.
        references: published rows to show beside ours.
        lines: of metrics.jsonl; none where the networks were only evaluated.
        control, control_folder: record of the control run, see `read_control`, and its folder.
    """
    sections = [training_section(lines), *SECTIONS[kind](evaluation)]
    beside = None
    if control:
        page = RunFolder(Path(control_folder).resolve()).report_file
        beside = Control(control, quote(os.path.relpath(page, Path(path).resolve().parent)))
    write_report(path, record, TABLES[kind], sections, references, beside)


def read_control(folder: str, kind: str) -> dict[str, Any] | None:
    """The record of the run that `CONTROL` names, of this kind of task; None if it names none.

    Raises `UserError` if there is no finished run of the kind.
    """
    if not folder:
        return None
    remedy = "set CONTROL to the folder of a finished run, or to ''"
    record = read_record(require_file(RunFolder(folder).result_file, "the record of the control run", remedy), remedy)
    if not record["metrics"]:
        raise UserError(f"{folder}: a run that had nothing to test on; {remedy}")
    if (task := record.get("task", "retrieval")) != kind:
        raise UserError(f"{folder}: a run of {task}, this is one of {kind}; {remedy}")
    return record


def single_numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Every number of a cohort's metrics by its path, such as `ensemble/single_query/mAP`; of a CMC some ranks.

    Counts (whole numbers) and lists are left out: they are no results.
    """
    found: dict[str, float] = {}
    for index, entry in zip(indices_of(metrics), metrics["networks"], strict=True):
        found |= {f"network_{index}/{name}": value for name, value in _numbers(entry)}
    for label in ("mean", "sd", "ensembles", "ensemble"):
        found |= {f"{label}/{name}": value for name, value in _numbers(metrics.get(label, {}))}
    return found


def _numbers(entry: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in entry.items():
        if isinstance(value, float):
            yield name, value
        elif isinstance(value, Mapping):
            yield from ((f"{name}/{below}", number) for below, number in _numbers(value))
        elif name == "cmc":
            yield from ((f"rank-{rank}", value[rank - 1]) for rank in (1, 5, 10) if rank <= len(value))
