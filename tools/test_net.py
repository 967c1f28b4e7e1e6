"""Evaluate trained networks and their ensemble: single-query and multi-query, or accuracy on a set of classes.

    python tools/test_net.py --config-file configs/market_mobilenet_dml.yml MODEL.WEIGHTS runs/market_mobilenet_dml
    python tools/test_net.py --config-file ... MODEL.WEIGHTS runs/.../network_0_ema.safetensors     one network

Under torchrun the images are shared out over the processes; the metrics do not depend on their number.
"""

from __future__ import annotations

import argparse

from reid_dml.errors import run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--config-file", required=True, metavar="FILE", help="the experiment the networks were trained with"
    )
    parser.add_argument("--rerank", action="store_true", help="also rank by k-reciprocal re-ranking (TEST.RERANK True)")
    parser.add_argument("--json", metavar="FILE", help="write the metrics to this file")
    parser.add_argument("--report", metavar="FILE", help="write a page with the table and its pictures to this file")
    parser.add_argument(
        "options", nargs="*", metavar="KEY VALUE", help="options that override the file; MODEL.WEIGHTS is needed"
    )
    arguments = parser.parse_intermixed_args()

    from reid_dml.commands.evaluate import evaluate_weights
    from reid_dml.config import load_config

    options = [*arguments.options, *(["TEST.RERANK", "True"] if arguments.rerank else [])]
    evaluate_weights(
        load_config(arguments.config_file, options), json_file=arguments.json, report_file=arguments.report
    )


if __name__ == "__main__":
    run_command(main)
