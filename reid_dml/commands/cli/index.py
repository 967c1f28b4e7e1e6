"""Build an index of a gallery to search it, add images to it or remove some.

    reid-dml index --index market.index --features gallery.npz [more.npz ...] [--type IVF256,PQ32]
    reid-dml index --index market.index --images DIR --run runs/quickstart
    reid-dml index --index market.index --images DIR --config FILE MODEL.WEIGHTS path
    reid-dml index --index market.index --add --images new/ --run runs/quickstart
    reid-dml index --index market.index --remove old/0001.jpg '*_c3s*'

An interrupted command goes on where it stopped when it is given again, and never damages the index that was there.
Search with reid-dml search.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from reid_dml.commands.arguments import add_frame_step, add_labels, add_network, add_no_verify, add_run
from reid_dml.ending import GOES_ON
from reid_dml.errors import UserError

INTERRUPTED = GOES_ON


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--index",
        required=True,
        metavar="PLACE",
        help="folder of the index, or postgresql://user@host/database#gallery",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--features", action="extend", nargs="+", metavar="FILE", help="feature files of reid-dml extract"
    )
    what.add_argument(
        "--images",
        action="extend",
        nargs="+",
        metavar="PATH",
        help="images, videos, folders or tables (.csv) of images",
    )
    what.add_argument(
        "--remove",
        action="extend",
        nargs="+",
        metavar="PATH",
        help="remove these images: paths as the index has them, or patterns where no image has that path",
    )
    parser.add_argument("--add", action="store_true", help="add to the index that is there")
    parser.add_argument("--overwrite", action="store_true", help="replace the index that is there")
    parser.add_argument(
        "--type", metavar="TYPE", help="FAISS index type: Flat (exact, default), SQfp16, HNSW32, IVF256,PQ32, ..."
    )
    parser.add_argument("--metric", choices=("cosine", "euclidean"), help="default: cosine")
    parser.add_argument(
        "--search-parameters", metavar="NAME=N", help="care of a search, e.g. nprobe=32 or efSearch=128"
    )
    add_run(parser)
    add_labels(parser)
    add_frame_step(parser)
    add_network(parser)
    add_no_verify(parser)


def run(arguments: Namespace) -> None:
    if (arguments.add or arguments.remove) and (
        arguments.type or arguments.metric or arguments.search_parameters or arguments.overwrite
    ):
        raise UserError("--type, --metric, --search-parameters and --overwrite are for building an index anew")

    from reid_dml.commands import index
    from reid_dml.commands.inputs import Inputs

    inputs = Inputs.of(arguments, arguments.features or arguments.images or ())
    if arguments.remove:
        index.remove(arguments.index, arguments.remove)
        return
    source = (
        index.feature_source(arguments.features, inputs)
        if arguments.features
        else index.image_source(arguments.images, inputs)
    )
    if arguments.add:
        index.add(arguments.index, source)
        return
    index.build(
        arguments.index,
        source,
        factory=arguments.type or "Flat",
        metric=arguments.metric or "cosine",
        parameters=arguments.search_parameters or "",
        overwrite=arguments.overwrite,
    )
