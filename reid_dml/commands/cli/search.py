"""Search an index of reid-dml index for the images nearest to one image, to those of a folder, or to features.

    reid-dml search --index market.index --query photo.jpg --run runs/quickstart
    reid-dml search --index market.index --query DIR --config FILE MODEL.WEIGHTS path
    reid-dml search --index market.index --query query.npz [--json found.json] [--picture found.png]
    reid-dml search --index market.index --query query.npz --not-camera 3 --since 2026-01-31
    reid-dml search --index photos.index --query photos --labels folder --run RUN --camera hall

The features must come from the networks the index was built with.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from reid_dml.commands.arguments import add_frame_step, add_labels, add_network, add_no_verify, add_run
from reid_dml.errors import UserError
from reid_dml.outputs import OutputFile


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--index",
        required=True,
        metavar="PLACE",
        help="folder of the index, or postgresql://user@host/database#gallery",
    )
    parser.add_argument(
        "--query",
        required=True,
        metavar="PATH",
        help="an image, a video, a folder or table of images, or a feature file",
    )
    parser.add_argument("--k", type=int, default=10, metavar="N", help="images to find for a query (default: 10)")
    parser.add_argument(
        "--threshold",
        metavar="X",
        help="only images at least this similar (Euclidean: at most this far): a number, or a file of "
        "reid-dml calibrate --json",
    )
    parser.add_argument(
        "--camera", type=cameras, default=[], metavar="C[,C...]", help="only images of these cameras, by id or name"
    )
    parser.add_argument("--not-camera", type=cameras, default=[], metavar="C[,C...]", help="no images of these cameras")
    parser.add_argument("--since", metavar="TIME", help="only images of this time or later, such as 2026-01-31T12:30")
    parser.add_argument("--until", metavar="TIME", help="only images up to this time; of a day, to its end")
    parser.add_argument(
        "--time-pattern",
        default="",
        metavar="P",
        help="how times stand in file names, such as %%Y%%m%%d_%%H%%M%%S; for images without a time in the index",
    )
    parser.add_argument("--show", type=int, default=5, metavar="N", help="queries to print and draw (default: 5)")
    parser.add_argument("--json", type=OutputFile, metavar="FILE", help="write all that was found to this file")
    parser.add_argument(
        "--picture", type=OutputFile, metavar="FILE", help="draw the ranked lists (.png, .jpg, .pdf or .svg)"
    )
    parser.add_argument(
        "--search-parameters", default="", metavar="NAME=N", help="e.g. nprobe=64; more care, more time"
    )
    add_run(parser)
    add_labels(parser)
    add_frame_step(parser)
    add_network(parser)
    add_no_verify(parser)


def run(arguments: Namespace) -> None:
    if arguments.show < 1:
        raise UserError(f"--show {arguments.show}: show at least one query")

    from reid_dml.commands.inputs import Inputs
    from reid_dml.commands.search import search_and_print
    from reid_dml.search.filters import ImageFilter, parse_moment

    search_and_print(
        arguments.index,
        arguments.query,
        k=arguments.k,
        threshold=arguments.threshold,
        only=ImageFilter(
            cameras=arguments.camera,
            not_cameras=arguments.not_camera,
            since=parse_moment(arguments.since) if arguments.since else None,
            until=parse_moment(arguments.until, end=True) if arguments.until else None,
            time_pattern=arguments.time_pattern,
        ),
        show=arguments.show,
        json=arguments.json,
        picture=arguments.picture,
        parameters=arguments.search_parameters,
        inputs=Inputs.of(arguments, [arguments.query]),
    )


def cameras(text: str) -> list[str]:
    """Ids or names of cameras with commas between."""
    return text.split(",")
