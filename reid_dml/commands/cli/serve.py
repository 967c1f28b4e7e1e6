"""Serve a gallery: a page to search it by image, and a REST interface.

    reid-dml serve --run runs/quickstart --gallery market.index [--threshold threshold.json]
    REID_DML_TOKEN=... reid-dml serve --run RUN --gallery DIR --host 0.0.0.0 --name search.example.org

Then open http://127.0.0.1:8000. Only this machine is answered unless --host says otherwise, and then only who shows the
token. The gallery is an index of reid-dml index of the same networks.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from reid_dml.commands.arguments import add_network, add_no_verify, add_run
from reid_dml.errors import UserError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--gallery",
        required=True,
        metavar="PLACE",
        help="folder of the index, or postgresql://user@host/database#gallery",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="default: 8000")
    parser.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="a name it may be addressed by, as that of a proxy"
    )
    parser.add_argument("--store", default="", metavar="DIR", help="folder of added images (default: GALLERY.images)")
    parser.add_argument("--read-only", action="store_true", help="nothing is added or erased")
    parser.add_argument("--threshold", metavar="X", help="a file of reid-dml calibrate --json, or a number")
    parser.add_argument("--prior", type=float, default=0.5, metavar="P", help="as for reid-dml verify (default: 0.5)")
    parser.add_argument("--time-pattern", default="", metavar="P", help="of times in file names, as for a search")
    parser.add_argument("--search-parameters", default="", metavar="NAME=N", help="e.g. nprobe=64")
    parser.add_argument("--upload-limit", type=int, default=32, metavar="MB", help="of a request (default: 32)")
    parser.add_argument("--pixel-limit", type=int, default=40, metavar="MP", help="of an image (default: 40)")
    parser.add_argument("--waiting", type=int, default=64, metavar="N", help="images that may wait (default: 64)")
    add_run(parser)
    add_network(parser)
    add_no_verify(parser)


def run(arguments: Namespace) -> None:
    if not 0 <= arguments.port < 1 << 16:
        raise UserError(f"--port {arguments.port}: must lie between 0 and {(1 << 16) - 1}")
    from reid_dml.commands.serve import serve

    serve(
        arguments.gallery,
        run=arguments.run,
        config_file=arguments.config_file,
        options=arguments.options,
        network=arguments.network,
        host=arguments.host,
        port=arguments.port,
        names=arguments.name,
        store=arguments.store,
        read_only=arguments.read_only,
        threshold=arguments.threshold,
        prior=arguments.prior,
        time_pattern=arguments.time_pattern,
        parameters=arguments.search_parameters,
        upload_megabytes=arguments.upload_limit,
        image_megapixels=arguments.pixel_limit,
        waiting=arguments.waiting,
    )
