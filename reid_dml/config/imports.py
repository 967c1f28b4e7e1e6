"""IMPORTS: modules of the user's own that register parts, imported before anything of a config is checked.

A module is code, a config may come from anywhere. So what counts is who names it: somebody who types `IMPORTS`, writes
it into a config file or trained a run with it has decided; a model that was handed on has not. The config in the
header of a weights file or of an exported file, and one beside networks without the environment.json that a training
leaves, with its bases wherever they lie, import nothing by themselves: they are refused until the user names the
modules, or has imported them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reid_dml.config.reading import read_with_bases, split_words, value_of
from reid_dml.config.schema import all_options
from reid_dml.config.values import convert
from reid_dml.config.versions import upgrade
from reid_dml.errors import UserError
from reid_dml.options import shown
from reid_dml.registry import has_own_module

_KEY = "IMPORTS"
_LINE = "command line"
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_LONGEST = 500  # characters of what a module's exception says


def import_parts(
    parts: Sequence[tuple[Path, Mapping[str, Any]]], overrides: Sequence[Any], *, handed_on: bool = False
) -> None:
    """Import the modules of `IMPORTS`, where it is given last.

    Args:
        parts: the options of each file, in terms of today, with where they stand.
        overrides: `KEY VALUE ...` behind them.
        handed_on: whether the files came with a model, wherever they lie.

    Raises:
        UserError: a module that is not found, fails, or may not be imported for a model that was handed on.
    """
    option = all_options()[_KEY]
    given: list[tuple[object, Any, bool]] = [
        # A file is of a model if one behind it is: that may have named it as its base.
        (source, options[_KEY], handed_on or any(_is_of_a_model(file) for file, _ in parts[place:]))
        for place, (source, options) in enumerate(parts)
        if _KEY in options
    ]
    given += [(_LINE, value_of(_KEY, words, option), False) for key, words in split_words(overrides) if key == _KEY]
    if not given:
        return
    source, value, of_a_model = given[-1]
    modules = convert(_KEY, value, option, source)
    for module in modules:
        if not _NAME.fullmatch(module) or module.endswith(".py"):
            raise UserError(
                f"{source}: {_KEY}: {shown(module)} is no name of a module; write it as `import` takes it, my_parts or "
                "my_package.parts"
            )
    foreign = [module for module in modules if module not in sys.modules]
    if foreign and of_a_model:
        words = f"{_KEY} '[{', '.join(modules)}]'"
        raise UserError(
            f"{source}: needs {', '.join(foreign)}, and a model that was handed on imports nothing by itself; if you "
            f"trust what Python finds under this name, give {words} yourself, or import it in Python before"
        )
    for module in modules:
        _import(module, source)
        has_own_module(module)


def import_parts_of(file: Path, overrides: Sequence[Any], version: int | None) -> None:
    """`import_parts` of a config file, of which nothing else is looked at.

    Args:
        file: with its bases.
        overrides: `KEY VALUE ...` behind it.
        version: see `upgrade`.
    """
    import_parts([(path, upgrade(own, path, version)) for path, own in read_with_bases(file)], overrides)


def _is_of_a_model(file: Path) -> bool:
    """Whether a config lies in a model folder: beside networks, without what a training leaves."""
    return any(file.parent.glob("network_*.safetensors")) and not (file.parent / "environment.json").is_file()


def _import(module: str, source: object) -> None:
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise UserError(
                f"{source}: {_KEY}: Python finds no module {error.name}; {_remedy(module, source)}"
            ) from None
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        if isinstance(error, SystemExit):
            kind = "ends the program when it is imported, with "
        said = " ".join(str(error).split())[:_LONGEST]
        raise UserError(f"{source}: {_KEY}: {module}: {_place(error, module)}: {kind}{said}") from error


def _remedy(module: str, source: object) -> str:
    """What to do about a module that is not found: it may lie in a folder that Python does not look into."""
    top = module.partition(".")[0]
    for folder in (Path.cwd(), *([source.absolute().parent] if isinstance(source, Path) else [])):
        if (folder / f"{top}.py").is_file() or (folder / top).is_dir():
            return f"it lies in {folder}, where Python does not look: set PYTHONPATH={folder}"
    return "set PYTHONPATH to the folder that holds it, or pip install its package"


def _place(error: BaseException, module: str) -> str:
    """File and line of the module, or of its package, at which an exception came."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    homes = [] if spec is None else [*(spec.submodule_search_locations or ()), spec.origin or ""]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    own = [frame for frame in frames if any(_lies_in(frame.filename, home) for home in homes)]
    frame = (own or frames)[-1]
    return f"{frame.filename}, line {frame.lineno}"


def _lies_in(file: str, home: str) -> bool:
    return bool(home) and (file == home or file.startswith(home + os.sep))
