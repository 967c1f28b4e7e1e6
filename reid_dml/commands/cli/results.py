"""Write docs/performance.md and options.md, and what README.md and other pages show of results/.

reid-dml results [--check]
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from reid_dml.errors import UserError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--records", default="results", metavar="DIR", help="folder of run records (default: results)")
    parser.add_argument(
        "--output", default="docs/results.md", metavar="FILE", help="page whose tables are drawn (docs/results.md)"
    )
    parser.add_argument(
        "--search-page", default="docs/search.md", metavar="FILE", help="page whose table is drawn (docs/search.md)"
    )
    parser.add_argument(
        "--performance-page", default="docs/performance.md", metavar="FILE", help="default: docs/performance.md"
    )
    parser.add_argument("--readme", default="README.md", metavar="FILE", help="page with the headline numbers")
    parser.add_argument(
        "--networks-page", default="docs/networks.md", metavar="FILE", help="page on networks (docs/networks.md)"
    )
    parser.add_argument("--options-page", default="docs/options.md", metavar="FILE", help="default: docs/options.md")
    parser.add_argument(
        "--figures", default="docs/images/results", metavar="DIR", help="figures of that page (docs/images/results)"
    )
    parser.add_argument("--check", action="store_true", help="only check that the pages are up to date")


def run(arguments: Namespace) -> None:
    benchmarks = Path(__file__).resolve().parents[3] / "benchmarks"  # which know their records
    if not benchmarks.is_dir():
        raise UserError(f"{benchmarks}: not found; the pages are drawn in a checkout of the project")
    sys.path.append(str(benchmarks))
    from index_types_table import index_types_table, read_benchmarks
    from performance_page import performance_page, read_performance

    from reid_dml.commands.results import headline, networks_page, paper_section, read_runs, results_page
    from reid_dml.config.schema import all_sections
    from reid_dml.files import write_text
    from reid_dml.paths import require_file
    from reid_dml.reporting.markdown import fill_marks
    from reid_dml.reporting.options_page import options_page

    def read(page: Path) -> str:
        return require_file(page, "the page", "it holds the marks between which tables are drawn").read_text()

    records, results, search, networks, readme = (
        Path(path)
        for path in (
            arguments.records, arguments.output, arguments.search_page, arguments.networks_page, arguments.readme
        )
    )  # fmt: skip
    runs = read_runs(records)
    types = index_types_table(read_benchmarks(records / "benchmarks"))
    page, figures = paper_section(read(results), records, Path(arguments.figures), results)
    pages = {
        **figures,
        results: results_page(page, runs, results),
        readme: headline(read(readme), runs, readme),
        Path(arguments.performance_page): performance_page(read_performance(records / "benchmarks")),
        search: fill_marks(read(search), "index types", types, search),
        networks: networks_page(read(networks), records, networks),
        Path(arguments.options_page): options_page(all_sections()),
    }
    for path, page in pages.items():
        if not arguments.check:
            write_text(path, page)
            print(path)
        elif not path.is_file() or path.read_text() != page:
            raise UserError(f"{path}: differs from what the records in {records} give; run make results")
