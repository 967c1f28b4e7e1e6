"""What the papers' experiments gave: listed in the terminal, and written as pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from reid_dml.commands.reproduce import missing_jobs, pace
from reid_dml.errors import UserError
from reid_dml.files import check_output, write_text
from reid_dml.paper.artifacts import ARTIFACTS, Table, choose, experiments_of, run_of
from reid_dml.paper.experiments import EXPERIMENTS
from reid_dml.paper.pages import html_page, markdown_page
from reid_dml.paper.parts import Part, paper_parts, parameters_table
from reid_dml.paper.recipes import SCALES, at_scale
from reid_dml.paper.records import Place, Records
from reid_dml.reporting.tables import csv_text, format_table
from reid_dml.timing import duration


def list_experiments(names: Sequence[str], place: Place, *, scale: str, seeds: int, overrides: Sequence[str]) -> None:
    """Print tables and figures with their published numbers, their runs, what is missing and the time it will take."""
    records, total, unknown = place.records(), 0.0, 0
    for name in choose(names):
        artifact = ARTIFACTS.get(name)
        print(f"\n{name}: {artifact.title if artifact else EXPERIMENTS[name].config}")
        jobs = missing_jobs([name], place, scale, seeds, overrides)
        seconds = [pace(place, scale, jobs[0].cfg)(job.cfg) for job in jobs] if jobs else []
        known = [number for number in seconds if number is not None]
        total, unknown = total + sum(known), unknown + len(seconds) - len(known)
        rows = [["experiment", "config", "recorded", "published"]]
        for experiment in experiments_of(artifact, scale) if artifact else [name]:
            runs = records.get((experiment, scale), {})
            here = EXPERIMENTS[experiment]
            config = f"configs/{here.config}" + (f" + {len(here.options)} options" if here.options else "")
            recorded = f"seeds {' '.join(map(str, sorted(runs)))}" if runs else "-"
            recorded = recorded if at_scale(here, scale) else "no recipe at this scale"
            rows.append([experiment, config, recorded, _published(artifact, experiment, scale)])
        print(format_table(rows))
        time = f"{len(jobs)} runs missing"
        if known:
            time += f", about {duration(sum(known))} of training here"
        if len(known) < len(seconds):
            time += f" ({len(seconds) - len(known)} of unknown length: no run at this scale was timed on this machine)"
        print(time if jobs else "nothing missing")


def _published(artifact: object, experiment: str, scale: str) -> str:
    """The first column of the published rows that a run fills."""
    if not isinstance(artifact, Table):
        return ""
    found = []
    for row in artifact.rows:
        if scale in row.scales and run_of(row.experiment, scale) == experiment:
            for paper, cells in row.published.items():
                numbers = " ".join(f"{cells[column]:g}" for column in artifact.columns if column in cells)
                found.append(f"{paper} {numbers}")
    return "; ".join(dict.fromkeys(found))


def all_parts(place: Place, records: Records, names: Sequence[str]) -> dict[str, list[Part]]:
    """Tables and figures by scale: of every scale that has a run, or a figure drawn from one."""
    chosen = [name for name in choose(names) if name in ARTIFACTS]
    scales = [scale for scale in SCALES if any(own == scale for _, own in records)]
    return {scale: list(paper_parts(chosen, records, place, scale)) for scale in scales}


def write_report(names: Sequence[str], place: Place, *, html: Path | None, markdown: Path | None) -> None:
    """Write what was measured beside what was published.

    The figures of a Markdown page go into a folder beside it, named like it, each with its numbers as CSV.

    Raises `UserError` where there are no records, or an output cannot be written.
    """
    for output in (html, markdown):
        if output:
            check_output(output)
    records = place.records()
    if not records:
        raise UserError(f"{place.runs} and {place.known}: hold no record of a run; start with tools/reproduce.py run")
    scales = all_parts(place, records, names)
    if html:
        write_text(html, html_page({scale: [parameters_table(), *parts] for scale, parts in scales.items()}, records))
        print(html)
    if markdown:
        links, files = figure_files(scales, markdown.with_suffix(""))
        for path, text in files.items():
            write_text(path, text)
        page = markdown_page(scales, records, {key: f"{markdown.stem}/{link}" for key, link in links.items()})
        write_text(markdown, f"# Published and measured\n\n{page}")
        print(markdown)


def figure_files(scales: Mapping[str, Sequence[Part]], folder: Path) -> tuple[dict[str, str], dict[Path, str]]:
    """Every figure as SVG and its numbers as CSV: names of the SVG files by `scale/name`, and all files' content."""
    links, files = dict[str, str](), dict[Path, str]()
    for scale, parts in scales.items():
        for part in parts:
            for number, figure in enumerate(part.figures):
                ending = f"-{number + 1}" if len(part.figures) > 1 else ""
                links[f"{scale}/{part.name}{ending}"] = f"{scale}_{part.name}{ending}.svg"
                files[folder / f"{scale}_{part.name}{ending}.svg"] = figure
            if part.figures:
                files[folder / f"{scale}_{part.name}.csv"] = csv_text(part.rows)
    return links, files
