"""A table of runs and data sets: mAP / rank-1 of every run on every data set it was tested on.

    python tools/compare_runs.py runs/a runs/b [--network mean] [--csv table.csv] [--json table.json]

A run has its record from training (result.json); `tools/test_net.py --run RUN DATA.TEST "[...]"` adds data sets.
"""

from __future__ import annotations

import argparse

from reid_dml.commands.arguments import add_no_verify
from reid_dml.errors import run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders")
    parser.add_argument(
        "--network",
        default="ensemble",
        metavar="K",
        help="ensemble (default; of one network, itself), mean (over the networks), or the index of a network",
    )
    parser.add_argument("--json", metavar="FILE", help="write the metrics of the table to this file")
    parser.add_argument("--csv", metavar="FILE", help="write the table to this file")
    add_no_verify(parser)
    arguments = parser.parse_args()

    from reid_dml.commands.compare import compare_runs

    compare_runs(arguments.runs, network=arguments.network, json_file=arguments.json, csv_file=arguments.csv)


if __name__ == "__main__":
    run_command(main)
