"""Convert feature files between .npz (ours), .parquet and MATLAB's .mat.

reid-dml convert features.npz features.parquet
reid-dml convert features.npz features.mat                        feature, label, cam
reid-dml convert --query q.npz --gallery g.npz result.mat         query_f, query_label, ...
reid-dml convert --split gallery result.mat gallery.npz
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from reid_dml.commands.arguments import add_no_verify
from reid_dml.errors import UserError
from reid_dml.outputs import OutputFile


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="file to read and file to write; or only the latter")
    parser.add_argument(
        "--split", choices=("query", "gallery", "multi_query"), default="", help="set of a .mat to read"
    )
    for split in ("query", "gallery", "multi-query"):
        parser.add_argument(f"--{split}", metavar="FILE", help=f"feature file of the {split} set, for one .mat of all")
    add_no_verify(parser)


def parse(parser: ArgumentParser, words: Sequence[str]) -> Namespace:
    arguments = parser.parse_intermixed_args(words)
    arguments.files[-1] = OutputFile(arguments.files[-1])
    return arguments


def run(arguments: Namespace) -> None:
    inputs = {
        name: getattr(arguments, name) for name in ("query", "gallery", "multi_query") if getattr(arguments, name)
    }
    if len(arguments.files) != (1 if inputs else 2):
        raise UserError("name a file to read and a file to write; with --query and --gallery only a file to write")
    if inputs and arguments.split:
        raise UserError("--split is for reading a .mat file; leave it out with --query and --gallery")

    from reid_dml.commands.convert import convert_file, join_splits

    if inputs:
        join_splits(inputs, arguments.files[0])
    else:
        convert_file(*arguments.files, split=arguments.split)
