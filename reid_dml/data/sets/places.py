"""Where a data set lies: `DATA.ROOT` one level too high or too low, or a folder inside one of its own name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from reid_dml.data.listing import list_folders
from reid_dml.errors import UserError, absolute

_FOLDERS = 200  # of one folder that are looked into


def check_root(root: str | os.PathLike[str], holds: Callable[[Path], bool], what: str) -> Path:
    """`DATA.ROOT` as a path; where the data set is not there, the folders around it are asked.

    Args:
        root: as the config has it.
        holds: whether a folder would do as `DATA.ROOT`.
        what: the data set, for the error.

    Returns:
        The root, also where the data set is neither there nor near: its reader says what is missing.

    Raises:
        UserError: naming the value of `DATA.ROOT` that was meant.
    """
    path = Path(root)
    if holds(path):
        return path
    near = next((folder for folder in _around(Path(absolute(root))) if holds(folder)), None)
    if near is not None:
        raise UserError(f"{absolute(root)}: is not the folder that holds {what}; set DATA.ROOT to {near}")
    return path


def _around(path: Path) -> Iterator[Path]:
    """The folders two levels up and down, nearest first."""
    below = _inside(path)
    yield from below
    yield path.parent
    for folder in below:
        yield from _inside(folder)
    yield path.parent.parent


def _inside(path: Path) -> list[Path]:
    try:
        return [path / name for name in list_folders(path)[:_FOLDERS]]
    except OSError:
        return []
