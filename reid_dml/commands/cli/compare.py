"""A table of runs and data sets: mAP / rank-1 of every run on every data set it was tested on.

    reid-dml compare runs/a runs/b [--network mean] [--csv table.csv] [--json table.json]

A run has its record from training (result.json); `reid-dml test --run RUN DATA.TEST "[...]"` adds data sets.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from reid_dml.commands.arguments import add_no_verify
from reid_dml.outputs import OutputFile


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders")
    parser.add_argument(
        "--network",
        default="ensemble",
        metavar="K",
        help="ensemble (default; of one network, itself), mean (over the networks), the index of a network, or those "
        "of several, such as 0,1, where their ensemble was evaluated (TEST.ENSEMBLE_SIZES)",
    )
    parser.add_argument("--json", type=OutputFile, metavar="FILE", help="write the metrics of the table to this file")
    parser.add_argument("--csv", type=OutputFile, metavar="FILE", help="write the table to this file")
    add_no_verify(parser)


def run(arguments: Namespace) -> None:
    from reid_dml.commands.compare import compare_runs

    compare_runs(arguments.runs, network=arguments.network, json_file=arguments.json, csv_file=arguments.csv)
