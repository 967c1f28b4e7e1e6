"""What the papers' experiments gave: listed in the terminal, and written as pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from reid_dml.commands.reproduce_jobs import missing_jobs, training_seconds
from reid_dml.errors import UserError
from reid_dml.files import write_text
from reid_dml.paper.artifacts import ARTIFACTS, choose, experiments_behind, run_of
from reid_dml.paper.experiments import EXPERIMENTS
from reid_dml.paper.kinds import Parameters, Table
from reid_dml.paper.pages import html_page, markdown_page
from reid_dml.paper.parts import Part, paper_parts
from reid_dml.paper.recipes import has_recipe
from reid_dml.paper.records import Place, Records
from reid_dml.reporting.tables import csv_text, format_table
from reid_dml.shipped import SCALES
from reid_dml.timing import duration


def list_experiments(names: Sequence[str], place: Place, *, scale: str, seeds: int, overrides: Sequence[str]) -> None:
    """Print tables and figures with their published numbers, their runs, what is missing and the time it will take.

    Args:
        names: of tables, figures, groups of them, or experiments.
        place: where runs and records are.
        scale: of the recipes.
        seeds: wanted runs of each experiment.
        overrides: `KEY VALUE ...` of where they would run.

    Raises:
        UserError: an unknown name, or a record that is damaged or of something else.
    """
    records = place.records()
    for name in choose(names):
        artifact = ARTIFACTS.get(name)
        print(f"\n{name}: {artifact.title if artifact else EXPERIMENTS[name].config}")
        if isinstance(artifact, Parameters):
            print("nothing to run; see report")
            continue
        jobs = missing_jobs([name], place, scale, seeds, overrides)
        seconds = [training_seconds(job.cfg, records, scale) for job in jobs]
        known = [number for number in seconds if number is not None]
        rows = [["experiment", "config", "recorded", "published"]]
        for experiment in experiments_behind(name, scale):
            runs = records.get((experiment, scale), {})
            here = EXPERIMENTS[experiment]
            config = f"configs/{here.config}" + (f" + {len(here.options)} options" if here.options else "")
            recorded = f"seeds {' '.join(map(str, sorted(runs)))}" if runs else "-"
            recorded = recorded if has_recipe(here, scale) else "no recipe at this scale"
            rows.append([experiment, config, recorded, _published(artifact, experiment, scale)])
        print(format_table(rows))
        time = f"{len(jobs)} run{'s' if len(jobs) > 1 else ''} missing"
        if known:
            time += f", about {duration(sum(known))} of training here"
        if len(known) < len(seconds):
            time += f" ({len(seconds) - len(known)} of unknown length: nothing like it was timed on this machine)"
        has_any = any(has_recipe(EXPERIMENTS[one], scale) for one in experiments_behind(name, scale))
        print(time if jobs else "nothing missing" if has_any else "nothing can be run at this scale")


def _published(artifact: object, experiment: str, scale: str) -> str:
    """The first column of the published rows that a run fills."""
    if not isinstance(artifact, Table):
        return ""
    found = []
    for row in artifact.rows:
        if row.experiment and scale in row.scales and run_of(row.experiment, scale) == experiment:
            for paper, cells in row.published.items():
                numbers = " ".join(f"{cells[column]:g}" for column in artifact.columns if column in cells)
                found.append(f"{paper} {numbers}")
    return "; ".join(dict.fromkeys(found))


def all_parts(place: Place, records: Records, names: Sequence[str]) -> dict[str, list[Part]]:
    """Tables and figures by scale, of every scale that has a run; Table 1, which needs none, stands in the first.

    Where nothing but Table 1 is asked for, it is there without any run.

    Args:
        place: where figures are.
        records: of all runs.
        names: of tables, figures, and groups of them.

    Raises:
        UserError: no table or figure among them.
    """
    chosen = [name for name in choose(names) if name in ARTIFACTS]
    if not chosen:
        raise UserError(f"{', '.join(names)}: no table or figure, but experiments; name one of {', '.join(ARTIFACTS)}")
    later = [name for name in chosen if not isinstance(ARTIFACTS[name], Parameters)]
    scales = [scale for scale in SCALES if any(own == scale for _, own in records)] or ([] if later else SCALES[:1])
    return {
        scale: list(paper_parts(later if number else chosen, records, place, scale))
        for number, scale in enumerate(scales)
    }


def write_report(names: Sequence[str], place: Place, *, html: Path | None, markdown: Path | None) -> None:
    """Write what was measured beside what was published.

    The figures of a Markdown page go into a folder beside it, named like it, each with its numbers as CSV.

    Args:
        names: of tables, figures, and groups of them.
        place: where runs and records are.
        html: one page with everything in it.
        markdown: a page whose figures are files.

    Raises:
        UserError: no records, records that are damaged or of something else, or an output that cannot be written.
    """
    records = place.records()
    scales = all_parts(place, records, names)
    if not scales:
        where = " and ".join(map(str, place.folders))
        raise UserError(f"{where}: hold no record of a run; start with reid-dml reproduce run")
    if html:
        write_text(html, html_page(scales, records))
        print(html)
    if markdown:
        links, files = figure_files(scales, markdown.with_suffix(""))
        for path, text in files.items():
            write_text(path, text)
        page = markdown_page(scales, records, {key: f"{quote(markdown.stem)}/{link}" for key, link in links.items()})
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
