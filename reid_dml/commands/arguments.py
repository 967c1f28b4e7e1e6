"""Arguments that several commands have in common."""

from __future__ import annotations

import os
from argparse import SUPPRESS, Action, ArgumentParser, ArgumentTypeError, Namespace
from glob import escape, glob
from pathlib import Path
from typing import Any

from reid_dml.digests import VARIABLE
from reid_dml.outputs import OutputFile
from reid_dml.shipped import shipped_names
from reid_dml.text import small_number

OPTIONS_METAVAR = "KEY VALUE"  # of options of a config


def page_file(text: str) -> OutputFile:
    """The type of an argument that names a page to write: browsers go by its ending."""
    return _ending(text, ".html", ".htm")


def markdown_file(text: str) -> OutputFile:
    """The type of an argument that names a Markdown page to write; its figures go into a folder of the same stem."""
    return _ending(text, ".md")


def _ending(text: str, *endings: str) -> OutputFile:
    if Path(text).suffix.lower() not in endings:
        raise ArgumentTypeError(f"{text}: must end in {endings[0]}")
    return OutputFile(text)


def add_run(parser: ArgumentParser) -> None:
    """`--run`, `--config-file` and options behind either: trained networks, for `commands.networks.chosen_config`."""
    parser.add_argument(
        "--run",
        metavar="RUN",
        help="the networks and their config: a run folder, a model folder, one of their .safetensors files, an "
        "exported file (.onnx, .pt2, .xml), or hf://owner/name of a model folder on a hub",
    )
    add_config(
        parser,
        help="instead of --run: a config file, or the name of one that comes along; MODEL.WEIGHTS among the options",
    )
    parser.add_argument("options", nargs="*", metavar=OPTIONS_METAVAR, help="options that override the config")


def add_config(parser: ArgumentParser, **options: Any) -> None:
    """`--config-file` or `--config`: a file, or the name of a config that comes along."""
    action = parser.add_argument("--config-file", "--config", metavar="FILE", **options)
    vars(action)["completer"] = _configs  # argcomplete asks for it


def _configs(prefix: str, **_: Any) -> list[str]:
    """How the name of a config may go on."""
    paths = [path + ("/" if os.path.isdir(path) else "") for path in glob(f"{escape(prefix)}*")]
    names = [name for name in shipped_names() if name.startswith(prefix)]
    return names + [path for path in paths if path.endswith(("/", ".yml"))]


def add_network(parser: ArgumentParser) -> None:
    """`--network`: which of them."""
    parser.add_argument(
        "--network",
        default="ensemble",
        metavar="K",
        help="index of one network, or those of several, such as 0,2; default: all as an ensemble",
    )


def add_labels(parser: ArgumentParser) -> None:
    """`--labels` and `--cameras`: what is known of images, for `data.image_paths.image_records`."""
    parser.add_argument(
        "--labels",
        choices=("name", "folder", "none"),
        default="name",
        help="persons of images in folders: from names like 0002_c1s1_000451_03.jpg (default), folder: a folder per "
        "person (cameras by OWN.CAMERA_PATTERN behind the networks, if that is given), or none",
    )
    parser.add_argument(
        "--cameras", choices=("use", "ignore"), default="use", help="ignore: count all cameras as unknown"
    )


def _step(text: str) -> int:
    number = small_number(text)
    if not number:
        raise ArgumentTypeError(f"{text[:40]}: must be a whole number of at least 1")
    return number


def add_frame_step(parser: ArgumentParser) -> None:
    """`--frame-step`: some of the images of a video or a folder, for `data.image_paths.image_records`."""
    parser.add_argument(
        "--frame-step", type=_step, default=0, metavar="N", help="images are frames: take every N-th, of videos too"
    )


def add_no_verify(parser: ArgumentParser) -> None:
    """`--no-verify`: files are read without a look at their digests, see `digests.verifies`."""
    parser.add_argument(
        "--no-verify",
        action=_Unverified,
        nargs=0,
        default=SUPPRESS,
        help="read files without comparing them with their SHA-256, such as very large indexes, or damaged files",
    )


class _Unverified(Action):
    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: Any = None) -> None:
        os.environ[VARIABLE] = "0"
