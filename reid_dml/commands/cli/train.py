"""Train a cohort, evaluate it and write its report.

    reid-dml train --config market_mobilenet_dml [--resume] [KEY VALUE ...]
    torchrun --nproc-per-node 2 -m reid_dml train --config ...      one network or more per process

Every option of docs/options.md can be given as KEY VALUE, for example SEED 1 OUTPUT_DIR runs/second.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from reid_dml.commands.arguments import add_config, add_no_verify

INTERRUPTED = "run the command again with --resume to go on"


def add_arguments(parser: ArgumentParser) -> None:
    add_config(
        parser,
        required=True,
        action="append",
        help="experiment: a file, or the name of a config that comes along, such as quickstart; may be repeated, later "
        "ones win: scales/small_market shortens",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in OUTPUT_DIR from its last checkpoint; a larger TRAIN.STEPS lengthens it",
    )
    parser.add_argument("options", nargs="*", metavar="KEY VALUE", help="options that override the file")
    add_no_verify(parser)


def run(arguments: Namespace) -> None:
    from reid_dml.commands.train import train_and_evaluate
    from reid_dml.config import load_config

    train_and_evaluate(load_config(arguments.config_file, arguments.options), resume=arguments.resume)
