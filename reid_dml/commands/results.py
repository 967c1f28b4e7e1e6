"""The page of measured results: what run records give, put between the marks of the page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from reid_dml.commands.reproduce_report import all_parts, figure_files
from reid_dml.errors import UserError, absolute
from reid_dml.models import BACKBONES
from reid_dml.models.summary import NetworkSummary, summarize
from reid_dml.paper.pages import markdown_page
from reid_dml.paper.records import Place, Record
from reid_dml.reporting.markdown import below_a_heading, fill_marks
from reid_dml.reporting.networks_table import networks_table
from reid_dml.reporting.run_tables import headline_table, run_sections
from reid_dml.reporting.task_tables import TABLES
from reid_dml.runs.record import read_record

PAPER = "paper"  # folder of the records of the papers' experiments, below that of all records


def read_runs(folder: Path) -> list[Record]:
    """Records of further runs below a folder, by path: those of the papers' experiments and of benchmarks are none.

    Runs that had nothing to test on have nothing to show, and are left out. Raises `UserError` for a file that is none.
    """
    if not folder.is_dir() or not any(folder.rglob("*.json")):
        raise UserError(f"{absolute(folder)}: holds no run records (result.json of runs); check the path")
    aside = [path for name in ("benchmarks", PAPER) for path in (folder / name).rglob("*.json")]
    paths = sorted(set(folder.rglob("*.json")) - set(aside))
    records = [read_record(path, "remove it or copy the record again") for path in paths]
    return [record for record in records if record["metrics"]]


def results_page(page: str, runs: Sequence[Record], path: object = "docs/results.md") -> str:
    """The page with the tables of further runs between its marks `<!-- runs: begin -->` and `<!-- runs: end -->`.

    Args:
        page: its text.
        runs: their records.
        path: of the page, for errors.

    Raises:
        UserError: a page without its marks, two records of one experiment and seed, or of other networks.
    """
    return fill_marks(page, "runs", below_a_heading(run_sections(runs, TABLES)), path)


def headline(page: str, runs: Sequence[Record], path: object = "README.md") -> str:
    """The page with the headline numbers of further runs between its marks `numbers`.

    Args:
        page: its text.
        runs: records of further runs.
        path: of the page, for errors.
    """
    return fill_marks(page, "numbers", headline_table(runs), path)


def paper_section(page: str, folder: Path, figures: Path, path: Path) -> tuple[str, dict[Path, str]]:
    """The page with the papers' tables and figures between its marks `paper`, and the files of these figures.

    Args:
        page: its text.
        folder: of all records.
        figures: folder for the figures.
        path: of the page.
    """
    place = Place(runs=folder / PAPER, elsewhere=folder / PAPER)
    records = place.records()
    scales = all_parts(place, records, ["all", "beside"])
    links, files = figure_files(scales, figures)
    where = quote(Path(os.path.relpath(figures, path.parent)).as_posix())
    shown = markdown_page(scales, records, {key: f"{where}/{name}" for key, name in links.items()})
    return fill_marks(page, "paper", below_a_heading(shown), path), files


def networks_page(page: str, folder: Path, path: object = "docs/networks.md") -> str:
    """The page with the tables of the project's networks between its marks `networks` and `small networks`.

    Args:
        page: its text.
        folder: of all records, of which those of the papers' experiments count, too.
        path: of the page, for errors.
    """
    papers = Place(runs=folder / PAPER, elsewhere=folder / PAPER).records()
    records = [*read_runs(folder), *(record for runs in papers.values() for record in runs.values())]
    # Those that others have registered are none of the project's.
    names = {name for name, entry in BACKBONES.entries().items() if entry.build.__module__.startswith("reid_dml.")}
    small = {name for name in names if "cifar" in name or name.startswith("wrn")}
    large = {*names, "resnet50"} - small
    page = fill_marks(page, "networks", networks_table(_by_size(large, (256, 128), 751), records), path)
    return fill_marks(page, "small networks", networks_table(_by_size(small, (32, 32), 100)), path)


def _by_size(names: Iterable[str], size: tuple[int, int], num_classes: int) -> list[NetworkSummary]:
    """Sizes of networks, a family after the other, the smaller ones first."""
    found = [summarize(name, size, num_classes) for name in names]
    return sorted(found, key=lambda it: (it.name.split("_")[0].rstrip("0123456789"), it.parameters, it.name))
