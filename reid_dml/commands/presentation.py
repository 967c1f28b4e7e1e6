"""How an evaluation is shown: its table in the terminal, and the page with its pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reid_dml.analysis.calibration_sections import calibration_sections
from reid_dml.analysis.retrieval_sections import retrieval_sections
from reid_dml.analysis.training_section import training_section
from reid_dml.processes import rank
from reid_dml.reporting.report import write_report
from reid_dml.reporting.sections import Section
from reid_dml.reporting.tables import ReferenceRow, format_table, without_empty_columns
from reid_dml.reporting.task_tables import TABLES
from reid_dml.tasks.task import Evaluation
from reid_dml.timing import stages_line

# What the page shows of a task's evaluation below the table.
SECTIONS: dict[str, Callable[[Any], list[Section]]] = {
    "retrieval": lambda evaluation: retrieval_sections(evaluation.metrics, evaluation.features),
    "classification": lambda evaluation: calibration_sections(evaluation.bins),
}


def say(text: str) -> None:
    """Print on process 0."""
    if rank() == 0:
        print(text, flush=True)


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
) -> None:
    """Write the page of an evaluation.

    Args:
        path: file to write.
        record: a run record (result.json), or the part of it that is known.
        kind: of the task.
        evaluation: what the task returned.
        references: published rows to show beside ours.
        lines: of metrics.jsonl; none where the networks were only evaluated.
    """
    sections = [training_section(lines), *SECTIONS[kind](evaluation)]
    write_report(path, record, TABLES[kind], sections, references)
