"""Evaluate trained networks and their ensemble: single-query and multi-query, or accuracy on a set of classes.

    reid-dml test --run runs/market_mobilenet_dml [KEY VALUE ...]
    reid-dml test --run runs/market_mobilenet_dml/network_0.safetensors     one network
    reid-dml test --run runs/market_mobilenet_dml DATA.TEST "[msmt17, folder=path/to/own]"     other data sets
    reid-dml test --config market_mobilenet_dml MODEL.WEIGHTS runs/market_mobilenet_dml
    torchrun --nproc-per-node N -m -- reid_dml test --run runs/market_mobilenet_dml

Under torchrun the images are shared out over the processes; the metrics do not depend on their number.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from reid_dml.commands.arguments import add_no_verify, add_run, page_file
from reid_dml.outputs import OutputFile


def add_arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--rerank", action="store_true", help="also rank by k-reciprocal re-ranking (TEST.RERANK True)")
    parser.add_argument("--json", type=OutputFile, metavar="FILE", help="write the metrics to this file")
    parser.add_argument(
        "--report", type=page_file, metavar="FILE", help="write a page with the table and its pictures to this file"
    )
    add_no_verify(parser)


def run(arguments: Namespace) -> None:
    from reid_dml.commands.evaluate import evaluate_weights
    from reid_dml.commands.networks import chosen_config

    options = [*arguments.options, *(["TEST.RERANK", "True"] if arguments.rerank else [])]
    cfg = chosen_config(arguments.run, arguments.config_file, options)
    evaluate_weights(cfg, json_file=arguments.json, report_file=arguments.report)
