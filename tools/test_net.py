"""Evaluate trained networks and their ensemble: single-query and multi-query, or accuracy on a set of classes.

    python tools/test_net.py --run runs/market_mobilenet_dml [KEY VALUE ...]
    python tools/test_net.py --run runs/market_mobilenet_dml/network_0.safetensors     one network
    python tools/test_net.py --run runs/market_mobilenet_dml DATA.TEST "[msmt17, folder=path/to/own]"    other data sets
    python tools/test_net.py --config-file configs/market_mobilenet_dml.yml MODEL.WEIGHTS runs/market_mobilenet_dml

Under torchrun the images are shared out over the processes; the metrics do not depend on their number.
"""

from __future__ import annotations

import argparse

from reid_dml.commands.arguments import add_no_verify, add_run
from reid_dml.errors import run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run(parser)
    parser.add_argument("--rerank", action="store_true", help="also rank by k-reciprocal re-ranking (TEST.RERANK True)")
    parser.add_argument("--json", metavar="FILE", help="write the metrics to this file")
    parser.add_argument("--report", metavar="FILE", help="write a page with the table and its pictures to this file")
    add_no_verify(parser)
    arguments = parser.parse_intermixed_args()

    from reid_dml.commands.evaluate import evaluate_weights
    from reid_dml.commands.networks import chosen_config

    options = [*arguments.options, *(["TEST.RERANK", "True"] if arguments.rerank else [])]
    cfg = chosen_config(arguments.run, arguments.config_file, options)
    evaluate_weights(cfg, json_file=arguments.json, report_file=arguments.report)


if __name__ == "__main__":
    run_command(main)
