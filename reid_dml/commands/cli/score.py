"""Score feature files: CMC, mAP and mINP of ranking a gallery for every query.

reid-dml score --query q.npz --gallery g.npz [--multi-query m.npz] [--json out.json]
reid-dml score --query q.npz --gallery g.npz --rerank                k-reciprocal re-ranking beside it
reid-dml score --query a/q.npz b/q.npz --gallery a/g.npz b/g.npz     an ensemble, across any runs
reid-dml score --query q.npz --gallery g.npz --index IVF256,PQ32     what an approximate index costs
reid-dml score --run runs/x --query query.csv --gallery photos --labels folder    images, not features
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from reid_dml.commands.arguments import add_labels, add_network, add_no_verify, add_run
from reid_dml.errors import UserError
from reid_dml.launched import torchrun_rank
from reid_dml.outputs import OutputFile


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--query",
        required=True,
        action="extend",
        nargs="+",
        metavar="PATH",
        help="feature file or images of the queries; several feature files: an ensemble",
    )
    parser.add_argument(
        "--gallery",
        required=True,
        action="extend",
        nargs="+",
        metavar="PATH",
        help="feature file or images of the gallery",
    )
    parser.add_argument(
        "--multi-query",
        action="extend",
        nargs="+",
        metavar="PATH",
        help="feature file or images of the query persons, beyond the queries (gt_bbox)",
    )
    parser.add_argument(
        "--ensemble",
        choices=("normalized", "raw", "distances"),
        help="several files: concatenate features scaled to length 1, as they are, or average distances "
        "(default: normalized)",
    )
    parser.add_argument("--pooling", choices=("mean", "max"), help="how multi-query pools (default: mean)")
    parser.add_argument("--metric", choices=("cosine", "euclidean"), default="cosine", help="default: cosine")
    parser.add_argument("--rerank", action="store_true", help="also rank by k-reciprocal re-ranking")
    parser.add_argument("--k1", type=int, help="its neighbours (default: 20)")
    parser.add_argument("--k2", type=int, help="images its query expansion averages (default: 6)")
    parser.add_argument(
        "--lambda",
        type=float,
        dest="lambda_value",
        help="its share of the original distance (default: 0.3)",
    )
    parser.add_argument("--expand", type=int, default=0, metavar="N", help="also expand queries by N gallery images")
    parser.add_argument("--alpha", type=float, help="exponent of their weights (default: 0, the average)")
    parser.add_argument(
        "--fpr",
        action="extend",
        type=float,
        nargs="+",
        default=[],
        metavar="F",
        help="true-positive rates of same-person decisions at these false-positive rates, e.g. 1e-4 1e-3",
    )
    parser.add_argument(
        "--unmatched",
        choices=("skip", "zero"),
        default="skip",
        help="queries without a match: left out of the means, or counted as 0 as MATLAB codes do (default: skip)",
    )
    parser.add_argument("--index", metavar="FACTORY", help="rank by this FAISS index, e.g. Flat or IVF256,PQ32")
    parser.add_argument(
        "--search-parameters", default="", metavar="P", help="how carefully the index searches, e.g. nprobe=32"
    )
    parser.add_argument("--json", type=OutputFile, metavar="FILE", help="write the metrics to this file")
    add_run(parser)
    add_network(parser)
    add_labels(parser)
    add_no_verify(parser)


def _fill_in(arguments: Namespace) -> None:
    """Give options that were not given their defaults. Raises `UserError` for one that is of what is not asked for."""
    several = len(arguments.query) > 1
    for key, option, default, asked, remedy in (
        ("k1", "--k1", 20, arguments.rerank, "is of re-ranking; add --rerank"),
        ("k2", "--k2", 6, arguments.rerank, "is of re-ranking; add --rerank"),
        ("lambda_value", "--lambda", 0.3, arguments.rerank, "is of re-ranking; add --rerank"),
        ("alpha", "--alpha", 0.0, arguments.expand, "is of query expansion; add --expand N"),
        ("pooling", "--pooling", "mean", arguments.multi_query, "is of multi-query; add --multi-query FILE"),
        ("ensemble", "--ensemble", "normalized", several, "is of several files for each side; name them"),
    ):
        if getattr(arguments, key) is None:
            setattr(arguments, key, default)
        elif not asked:
            raise UserError(f"{option} {getattr(arguments, key)}: {remedy}, or leave it out")


def run(arguments: Namespace) -> None:
    if torchrun_rank() > 0:
        return  # under torchrun the first process scores for all
    if arguments.index is not None and not arguments.index.strip():
        raise UserError("--index '': names no index; give one such as Flat, or leave it out for the exact ranking")
    if arguments.search_parameters and not arguments.index:
        raise UserError("--search-parameters are those of an index: name one with --index")
    _fill_in(arguments)
    from reid_dml.commands.inputs import Inputs
    from reid_dml.commands.score import score_and_print

    files = {"query": arguments.query, "gallery": arguments.gallery}
    if arguments.multi_query:
        files["boxes"] = arguments.multi_query
    score_and_print(
        files,
        ensemble=arguments.ensemble,
        json=arguments.json,
        read=Inputs.of(arguments, [path for paths in files.values() for path in paths]).read,
        metric=arguments.metric,
        pooling=arguments.pooling,
        unmatched=arguments.unmatched,
        fpr=arguments.fpr,
        rerank=(arguments.k1, arguments.k2, arguments.lambda_value) if arguments.rerank else None,
        expand=arguments.expand,
        alpha=arguments.alpha,
        backend="faiss" if arguments.index else "counting",
        index=arguments.index or "Flat",
        parameters=arguments.search_parameters,
    )
