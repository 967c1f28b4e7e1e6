"""Write docs/results.md from the run records in results/.

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
    parser.add_argument("--check", action="store_true", help="only check that the page is up to date")
    arguments = parser.parse_args()

    from reid_dml.files import write_text
    from reid_dml.paper.results_page import full_experiments, read_records, results_page

    page = results_page(read_records(Path(arguments.records)), full_experiments(Path("configs")))
    if not arguments.check:
        write_text(arguments.output, page)
        print(arguments.output)
    elif not Path(arguments.output).is_file() or Path(arguments.output).read_text() != page:
        raise UserError(
            f"{arguments.output}: differs from what the records in {arguments.records} give; run make results"
        )


if __name__ == "__main__":
    run_command(main)
