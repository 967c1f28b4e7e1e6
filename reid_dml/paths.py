"""Paths as callers give them: what the shell does for commands is done for functions here, and files are asked for."""

from __future__ import annotations

import os
import re
from pathlib import Path

from reid_dml.errors import UserError, absolute


def given_path(path: str | os.PathLike[str], what: str = "path") -> Path:
    """A path with the home folder in place of ~, unless a file is really called so.

    Args:
        path: as the caller gave it.
        what: what the argument is called, for the error.

    Raises:
        ValueError: something that is no path.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"{what}: must be a path, got {type(path).__name__}")
    text = os.fspath(path)
    return Path(os.path.expanduser(text) if text.startswith("~") and not os.path.lexists(text) else text)


def expand_path(text: str, what: str) -> str:
    """A path with the home folder in place of ~ and the values of $VARIABLES, as the shell would give it.

    Args:
        text: the path.
        what: where it was given, for the error.

    Raises:
        UserError: a variable that is not set or a user who is not known, unless a file is really called so.
    """
    if not text.startswith("~") and "$" not in text:
        return text
    expanded = os.path.expanduser(os.path.expandvars(text))
    left = re.search(r"^~[^/]*|\$(\w+|\{\w+\})", expanded)
    if left and not os.path.lexists(expanded):
        why = "names no user" if left[0].startswith("~") else "is not set"
        raise UserError(f"{what}: {text}: {left[0]} {why}; write the path out")
    return expanded


def require_file(path: str | os.PathLike[str], what: str, remedy: str) -> Path:
    """The path, if it is a file that is not empty.

    Args:
        path: of the file.
        what: what it is expected to be, for the error.
        remedy: what to do where it is not, for the error.

    Returns:
        The path, with the home folder in place of ~.

    Raises:
        UserError: a folder, no file, or an empty one.
        ValueError: no path.
    """
    path = given_path(path, what)
    if path.is_dir():
        raise UserError(f"{path}: {what} is expected to be a file, this is a folder; {remedy}")
    if not path.is_file():
        raise UserError(f"{absolute(path)}: {what} not found; {remedy}")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: {what} is empty (0 bytes); {remedy}")
    return path
