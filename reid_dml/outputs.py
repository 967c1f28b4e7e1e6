"""What is to be written is looked at before the work: it can be written, and nothing that is there is lost by it."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from reid_dml.errors import UserError
from reid_dml.files import LONGEST_NAME, check_regular
from reid_dml.text import is_utf8

# Files of a run, beside or one folder below its config.yml, and of an index, beside or below its manifest.json.
_OF_RUNS = re.compile(
    r"config\.yml|(classes|environment|result)\.json|metrics\.jsonl|network_\d+(_ema)?\.safetensors|tests/.*\.json"
    r"|events\.out\.tfevents\..*"
)
_OF_INDEXES = re.compile(r"manifest\.json|(.*/)?(index\.faiss|images\.parquet)")
_OWNERS = (("run", "config.yml", _OF_RUNS), ("index", "manifest.json", _OF_INDEXES))


class OutputFile(str):
    """An argument of a command that names a file to write; all others may name files to read."""


def check_outputs(arguments: Mapping[str, object]) -> None:
    """Raise `UserError`, before any work is done, if a command cannot or must not write one of its files.

    Args:
        arguments: of the command, by name. Texts, paths and lists of them are taken for inputs, but for `OutputFile`s.

    Raises:
        UserError: as `check_output`; a file without a name, or two of one name.
    """
    given = [value for entry in arguments.values() for value in (entry if isinstance(entry, list) else [entry])]
    outputs = [value for value in given if isinstance(value, OutputFile)]
    inputs = [value for value in given if isinstance(value, str | Path) and not isinstance(value, OutputFile)]
    written = set()
    for output in outputs:
        if not output:
            raise UserError("a file to write has no name; name one, or leave its option out")
        check_output(output, *inputs)
        place = os.path.realpath(output)
        if place in written:
            raise UserError(f"{output}: is named for two files to write; give each its own name")
        written.add(place)


def check_output(path: str | os.PathLike[str], *inputs: str | os.PathLike[str]) -> None:
    """Raise `UserError` if a file cannot be written, is one of the inputs, or is a part of a run or an index."""
    if len(os.fsencode(Path(path).name)) > LONGEST_NAME:
        raise UserError(f"{path}: a file's name may have {LONGEST_NAME} bytes here; shorten it")
    place = os.path.realpath(path)
    if any(place == os.path.realpath(entry) for entry in inputs):
        raise UserError(f"{path}: is one of the inputs; write to another file")
    check_regular(Path(path))
    for owner, mark, files in _OWNERS:
        for folder in Path(place).parents[:2]:
            if (folder / mark).is_file() and os.path.exists(place) and files.fullmatch(os.path.relpath(place, folder)):
                raise UserError(f"{path}: is a part of the {owner} in {folder}; write to another file")
    check_folder(Path(path).parent, str(path))


def check_folder(folder: Path, what: str) -> None:
    """Raise `UserError`, naming `what` is to be written, if nothing can be in this folder, which need not exist yet."""
    if not is_utf8(what):
        raise UserError(f"{what}: is no UTF-8, which some of the libraries that write files need; choose another name")
    while not folder.exists():
        folder = folder.parent
    try:
        # Tried, not asked for: root may do anything, but not everywhere.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        raise UserError(f"{what}: cannot be written in {folder}; choose another folder") from None
