"""Are these two the same person? Find the threshold for a wanted false-accept rate on labelled features.

    reid-dml calibrate --features labelled.npz [--false-accept-rate 0.001] [--json threshold.json]
    reid-dml calibrate --features query.npz --gallery gallery.npz
    reid-dml calibrate --run runs/quickstart --features photos --labels folder

With one file all its pairs are judged, with two the pairs of a query and a gallery image. Pairs of one person in one
camera are left out, as in evaluation. The threshold holds for features of the same networks only.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from reid_dml.commands.arguments import add_labels, add_network, add_no_verify, add_run
from reid_dml.errors import UserError
from reid_dml.outputs import OutputFile


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--features", required=True, metavar="PATH", help="feature file with person and camera ids, or images"
    )
    parser.add_argument("--gallery", metavar="PATH", help="a second one, to judge the pairs between the two")
    parser.add_argument(
        "--false-accept-rate",
        type=float,
        default=1e-3,
        metavar="R",
        help="wanted share of accepted pairs among those of different persons (default: 0.001)",
    )
    parser.add_argument("--confidence", type=float, default=0.95, metavar="C", help="of the intervals (default: 0.95)")
    parser.add_argument("--metric", choices=("cosine", "euclidean"), default="cosine", help="default: cosine")
    parser.add_argument(
        "--sample",
        type=int,
        default=0,
        metavar="N",
        help="judge the pairs of N drawn images with all others, for very many images; 0: all pairs (default)",
    )
    parser.add_argument("--json", type=OutputFile, metavar="FILE", help="write the result to this file")
    add_run(parser)
    add_network(parser)
    add_labels(parser)
    add_no_verify(parser)


def run(arguments: Namespace) -> None:
    for option in ("false_accept_rate", "confidence"):
        if not 0 < getattr(arguments, option) < 1:
            raise UserError(f"--{option.replace('_', '-')} {getattr(arguments, option)}: must lie between 0 and 1")

    if arguments.sample < 0:
        raise UserError(f"--sample {arguments.sample}: give a number of images, or 0 for all pairs")

    from reid_dml.commands.calibrate import calibrate_and_print
    from reid_dml.commands.inputs import Inputs

    inputs = Inputs.of(arguments, [arguments.features, arguments.gallery or arguments.features])
    calibrate_and_print(
        arguments.features,
        arguments.gallery,
        false_accept_rate=arguments.false_accept_rate,
        confidence=arguments.confidence,
        metric=arguments.metric,
        sample=arguments.sample,
        json=arguments.json,
        read=inputs.read,
        networks=inputs.trained_config,
    )
