"""Write docs/results.md, docs/performance.md and the table in docs/search.md from the records in results/.

python tools/make_results.py [--check]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from reid_dml.errors import UserError, run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", default="results", metavar="DIR", help="folder of run records (default: results)")
    parser.add_argument("--output", default="docs/results.md", metavar="FILE", help="default: docs/results.md")
    parser.add_argument(
        "--search-page", default="docs/search.md", metavar="FILE", help="page whose table is drawn (docs/search.md)"
    )
    parser.add_argument(
        "--performance-page", default="docs/performance.md", metavar="FILE", help="default: docs/performance.md"
    )
    parser.add_argument("--check", action="store_true", help="only check that the page is up to date")
    arguments = parser.parse_args()

    from reid_dml.files import write_text
    from reid_dml.paper.performance_page import performance_page, read_performance
    from reid_dml.paper.results_page import full_experiments, read_records, results_page
    from reid_dml.paper.search_page import read_benchmarks, search_page

    records, search = Path(arguments.records), Path(arguments.search_page)
    pages = {
        Path(arguments.output): results_page(read_records(records), full_experiments(Path("configs"))),
        Path(arguments.performance_page): performance_page(read_performance(records / "benchmarks")),
        search: search_page(search.read_text(), read_benchmarks(records / "benchmarks")),
    }
    for path, page in pages.items():
        if not arguments.check:
            write_text(path, page)
            print(path)
        elif not path.is_file() or path.read_text() != page:
            raise UserError(f"{path}: differs from what the records in {records} give; run make results")


if __name__ == "__main__":
    run_command(main)
