"""Paths as callers give them: what the shell does for commands is done for functions here."""

from __future__ import annotations

import os
from pathlib import Path


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
