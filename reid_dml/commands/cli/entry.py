"""Starting a command: `reid-dml train` and `python tools/train_net.py` are the same one."""

# PYTHON_ARGCOMPLETE_OK

from __future__ import annotations

import os
import re
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

from reid_dml.called import TOOLS, as_called
from reid_dml.commands.arguments import OPTIONS_METAVAR
from reid_dml.commands.cli.names import refuse_unknown
from reid_dml.ending import ANEW, run_command
from reid_dml.outputs import check_outputs

_ABOUT = """Person re-identification with deep mutual learning: train networks together, evaluate and search with them.

    reid-dml train --config quickstart          two small networks on drawn data, anywhere, in a few minutes
    reid-dml search --help                      what a command takes

In a checkout every command is also a script in tools/."""

# Names of options of configs: those with a section, and those without.
_SECTIONS = (
    "COHORT", "DATA", "EMA", "INPUT", "LOG", "MODEL", "OBJECTIVE", "OPTIM", "OWN", "PROTOCOL", "SAMPLER", "SCHEDULE",
    "SEMI", "SHAPES", "SYNTHETIC", "TEST", "TRAIN", "UPDATE",
)  # fmt: skip
_KEY = re.compile(rf"({'|'.join(_SECTIONS)})\.[A-Z0-9_]+|DEVICE|EXPERIMENT|IMPORTS|OUTPUT_DIR|SCALE|SEED|THREADS")


class Parser(ArgumentParser):
    """Its help, and that of its sub-commands, names commands as this user types them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": RawDescriptionHelpFormatter, **options})

    def format_help(self) -> str:
        return as_called(super().format_help())

    def error(self, message: str) -> NoReturn:
        """One line, without the usage, which can be longer than what went wrong."""
        message = message.replace(f", {OPTIONS_METAVAR}", "")  # argparse asks for what may be left out, too
        self.exit(2, f"error: {message}; see --help\n")


def call(name: str, words: Sequence[str] | None = None) -> int | None:
    """Read the arguments of a command and run it.

    Args:
        name: of the sub-command.
        words: its arguments; None: those of the process.
    """
    module, words = _module(name), sys.argv[1:] if words is None else words
    parser = Parser(prog=None if _is_tool() else f"reid-dml {name}", description=module.__doc__)
    module.add_arguments(parser)
    parse = getattr(module, "parse", lambda parser, words: parser.parse_intermixed_args(words))
    arguments = parse(parser, words)
    take_options(arguments)
    check_outputs(vars(arguments))
    return module.run(arguments)


def take_options(arguments: Namespace) -> None:
    """Give options what an argument of several words took of them: `--images photos DEVICE cpu`."""
    if not isinstance(getattr(arguments, "options", None), list):
        return
    for name, values in list(vars(arguments).items()):
        if name == "options" or not isinstance(values, list):
            continue
        keys = (place for place, word in enumerate(values) if is_key(word))
        first = next(keys, len(values))
        if 0 < first < len(values):
            setattr(arguments, name, values[:first])
            arguments.options = values[first:] + arguments.options


def is_key(word: object) -> bool:
    """Whether a word is the name of an option of configs, and of no file."""
    return isinstance(word, str) and _KEY.fullmatch(word) is not None and not os.path.lexists(word)


def start(name: str, place: int = 1) -> None:
    """Run a command with the words of the process from this place on; ends the process."""
    run_command(lambda: call(name, sys.argv[place:]), interrupted=getattr(_module(name), "INTERRUPTED", ANEW))


def main() -> None:
    """`reid-dml`, and `python -m reid_dml`; ends the process."""
    if "_ARGCOMPLETE" in os.environ:
        _complete()
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in TOOLS:
        start(name, place=2)
    run_command(partial(_without_command, name))


def _without_command(word: str) -> int:
    if word == "--version":
        from reid_dml.commands.version import print_version  # loads torch

        print_version()
        return 0
    if word and not word.startswith("-"):
        refuse_unknown("command", word, TOOLS)
    parser = whole_parser()
    if not word:
        parser.print_help(sys.stderr)
        return 2
    parser.parse_args([word])  # prints the help, or refuses the option
    return 2


def whole_parser(*, with_arguments: bool = False) -> ArgumentParser:
    """The parser of `reid-dml` with its sub-commands; with their arguments, it is what completion needs."""
    wide = partial(RawDescriptionHelpFormatter, max_help_position=16)
    parser = Parser(prog="reid-dml", description=_ABOUT, formatter_class=wide)
    parser.add_argument("--version", action="store_true", help="versions, devices and folders, for a bug report")
    commands = parser.add_subparsers(metavar="COMMAND")
    for name in TOOLS:
        module = _module(name)
        summary = (module.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, help=summary.rstrip("."), description=module.__doc__)
        if with_arguments:
            module.add_arguments(command)
    return parser


def _complete() -> None:
    """Answer the shell that asks how a word may go on; ends the process. Without argcomplete nothing is suggested."""
    try:
        from argcomplete import autocomplete
    except ImportError:
        sys.exit(1)
    autocomplete(whole_parser(with_arguments=True))


def _module(name: str) -> ModuleType:
    return import_module(f"reid_dml.commands.cli.{name}")


def _is_tool() -> bool:
    return as_called("reid-dml train") != "reid-dml train"
