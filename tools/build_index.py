"""Build an index of a gallery to search it, add images to it or remove some.

    python tools/build_index.py --index market.index --features gallery.npz [more.npz ...] [--type IVF256,PQ32]
    python tools/build_index.py --index market.index --images DIR --run runs/quickstart
    python tools/build_index.py --index market.index --images DIR --config-file FILE MODEL.WEIGHTS path
    python tools/build_index.py --index market.index --add --images new/ --run runs/quickstart
    python tools/build_index.py --index market.index --remove old/0001.jpg '*_c3s*'

An interrupted command goes on where it stopped when it is given again, and never damages the index that was there.
Search with tools/search_gallery.py.
"""

from __future__ import annotations

import argparse

from reid_dml.commands.arguments import add_frame_step, add_labels, add_network, add_no_verify, add_run
from reid_dml.errors import GOES_ON, UserError, run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--index",
        required=True,
        metavar="PLACE",
        help="folder of the index, or postgresql://user@host/database#gallery",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--features", nargs="+", metavar="FILE", help="feature files of tools/extract_features.py")
    what.add_argument("--images", nargs="+", metavar="PATH", help="images, folders or tables (.csv) of images")
    what.add_argument(
        "--remove",
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
    arguments = parser.parse_intermixed_args()
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


if __name__ == "__main__":
    run_command(main, interrupted=GOES_ON)
