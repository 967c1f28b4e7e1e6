"""Train a cohort, evaluate it and write its report.

    python tools/train_net.py --config-file configs/market_mobilenet_dml.yml [--resume] [KEY VALUE ...]
    torchrun --nproc-per-node 2 tools/train_net.py --config-file ...      one network or more per process

Every option of docs/options.md can be given as KEY VALUE, for example SEED 1 OUTPUT_DIR runs/second.
"""

from __future__ import annotations

import argparse

from reid_dml.commands.arguments import add_no_verify
from reid_dml.errors import run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--config-file",
        required=True,
        action="append",
        metavar="FILE",
        help="experiment, such as configs/quickstart.yml; may be repeated, later ones win: configs/scales/ shortens",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in OUTPUT_DIR from its last checkpoint; a larger TRAIN.STEPS lengthens it",
    )
    parser.add_argument("options", nargs="*", metavar="KEY VALUE", help="options that override the file")
    add_no_verify(parser)
    arguments = parser.parse_intermixed_args()

    from reid_dml.commands.train import train_and_evaluate
    from reid_dml.config import load_config

    train_and_evaluate(load_config(arguments.config_file, arguments.options), resume=arguments.resume)


if __name__ == "__main__":
    run_command(main, interrupted="run the command again with --resume to go on")
