"""Extract the features of images, or of folders and tables of images, into one file for search or scoring.

    reid-dml extract --run runs/quickstart --images path/to/images [more ...] --output features.npz
    reid-dml extract --config FILE MODEL.WEIGHTS path --images DIR --output features.npz
    torchrun --nproc-per-node N -m -- reid_dml extract --run RUN --images list.csv --output parts

Sub-folders are searched too. Person and camera are read from names like 0002_c1s1_000451_03.jpg; of other names both
are unknown; with --labels folder the sub-folders are persons, and a table (CSV) names them in columns path, person_id,
camera_id. Rows have length 1. Under torchrun the images are shared out over the processes. The same command continues
an extraction that was interrupted; what is done stands in .<output>.parts until the end.

An output without an ending is a folder of Parquet files, for more images than one process holds: each process, on any
number of machines that share the folder, writes its own (docs/many_machines.md).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from reid_dml.commands.arguments import add_frame_step, add_labels, add_network, add_no_verify, add_run
from reid_dml.ending import GOES_ON
from reid_dml.outputs import OutputFile

INTERRUPTED = GOES_ON


def add_arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--images",
        required=True,
        action="extend",
        nargs="+",
        metavar="PATH",
        help="images, videos, folders or tables (.csv) of images",
    )
    parser.add_argument(
        "--output",
        required=True,
        type=_output,
        metavar="FILE",
        help="file (.npz, .parquet or .mat) or, without an ending, folder",
    )
    add_labels(parser)
    add_frame_step(parser)
    add_network(parser)
    add_no_verify(parser)


def _output(text: str) -> str:
    return OutputFile(text) if Path(text).suffix else text  # a folder of parts, which may be there


def run(arguments: Namespace) -> None:
    from reid_dml.commands.extract import extract_images
    from reid_dml.commands.networks import chosen_config

    cfg = chosen_config(arguments.run, arguments.config_file, arguments.options)
    extract_images(
        cfg,
        arguments.images,
        arguments.output,
        network=arguments.network,
        labels=arguments.labels,
        cameras=arguments.cameras,
        frame_step=arguments.frame_step,
    )
