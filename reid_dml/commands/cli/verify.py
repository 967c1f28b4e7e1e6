"""Do two images show the same person?

    reid-dml verify a.jpg b.jpg --run runs/quickstart [--threshold threshold.json] [--prior 0.5]
    reid-dml verify a.jpg b.jpg --config FILE MODEL.WEIGHTS path

Without a threshold the similarity is all there is to say. A file of reid-dml calibrate --json for the same networks
gives a decision and a probability; the probability needs to know how many of the pairs one asks about show one person
(--prior, a half unless told otherwise).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from reid_dml.commands.arguments import add_network, add_no_verify, add_run
from reid_dml.commands.cli.entry import is_key
from reid_dml.errors import UserError
from reid_dml.outputs import OutputFile

_TWO = "two images are compared; name two image files"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("first", metavar="IMAGE", help="an image file")
    parser.add_argument("second", metavar="IMAGE", help="another image file")
    parser.add_argument("--threshold", metavar="X", help="a number, or a file of reid-dml calibrate --json")
    parser.add_argument("--prior", type=float, default=0.5, metavar="P", help="see above (default: 0.5)")
    parser.add_argument("--json", type=OutputFile, metavar="FILE", help="write the result to this file")
    add_run(parser)
    add_network(parser)
    add_no_verify(parser)


def parse(parser: ArgumentParser, words: Sequence[str]) -> Namespace:
    refuse = parser.error

    def error(message: str) -> NoReturn:
        refuse(f"{_TWO}, and options behind them" if "required: IMAGE" in message else message)

    vars(parser)["error"] = error  # which else asks for an IMAGE beside the one that is there
    return parser.parse_intermixed_args(words)


def run(arguments: Namespace) -> None:
    from reid_dml.commands.verify import verify_and_print
    from reid_dml.data.listing import EXTENSIONS

    if arguments.options and Path(arguments.options[0]).suffix.lower() in EXTENSIONS:
        raise UserError(f"{arguments.options[0]}: {_TWO}, and options behind them")
    if is_key(arguments.second):
        raise UserError(f"{arguments.first}: {_TWO}, and {arguments.second} behind them")

    verify_and_print(
        arguments.first,
        arguments.second,
        threshold=arguments.threshold,
        prior=arguments.prior,
        json=arguments.json,
        run=arguments.run,
        config_file=arguments.config_file,
        options=arguments.options,
        network=arguments.network,
    )
