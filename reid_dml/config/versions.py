"""Configs of earlier versions: what was renamed, removed or added since, so that old runs stay readable.

A run's config.yml starts with `VERSION`. Whoever renames or removes an option, or adds one whose default is not what
runs did before, raises `CONFIG_VERSION` and writes it down here under the new number.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid_dml.errors import UserError

CONFIG_VERSION = 1  # 0: runs of before there was a version
VERSION_KEY = "VERSION"

# By the version that brought the change, dotted keys.
RENAMED: dict[int, dict[str, str]] = {}  # old key: new key
REMOVED: dict[int, dict[str, Any]] = {}  # key: the value whose behaviour stayed; any other is refused
ADDED: dict[int, dict[str, Any]] = {}  # key: what runs of before did, where that is not the default


def upgrade(options: Mapping[str, Any], source: Path, version: int | None) -> dict[str, Any]:
    """Options of a file in today's terms.

    Args:
        options: nested sections as read.
        source: the file, for messages.
        version: of a file without `VERSION`. None: written by hand; names of before are understood, but what it leaves
            out is today's default.

    Raises:
        UserError: a file of a newer version, or a removed option at a value that nothing does any more.
    """
    options = _copy(options)
    by_hand = version is None and VERSION_KEY not in options
    found = 0 if by_hand else options.pop(VERSION_KEY, version)
    if type(found) is not int or found < 0:
        raise UserError(f"{source}: {VERSION_KEY} takes a whole number, not {found!r}; leave it out")
    if found > CONFIG_VERSION:
        raise UserError(
            f"{source}: written by a newer version of reid_dml (config version {found}, this one knows "
            f"{CONFIG_VERSION}); update reid_dml"
        )
    for step in range(found + 1, CONFIG_VERSION + 1):
        for old, new in RENAMED.get(step, {}).items():
            if (value := _take(options, old)) is not None:
                _put(options, new, value[0])
        for key, kept in REMOVED.get(step, {}).items():
            if (value := _take(options, key)) is not None and value[0] != kept:
                raise UserError(
                    f"{source}: {key}: {value[0]!r} is gone since config version {step}; read this run with the "
                    "reid_dml that made it (see environment.json)"
                )
        for key, before in ADDED.get(step, {}).items():
            if not by_hand:
                _put(options, key, before)
    return options


def moved(key: str) -> str:
    """Where an option of an earlier version has gone, for the refusal of an unknown key; empty if nowhere."""
    for renamed in RENAMED.values():
        if key in renamed:
            return f"; it is called {renamed[key]} now"
    return "; it is gone, leave it out" if any(key in removed for removed in REMOVED.values()) else ""


def _copy(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in options.items()}


def _take(options: dict[str, Any], key: str) -> tuple[Any] | None:
    """Remove an option, and its section if that is empty then: its value in a tuple, or None if it is absent."""
    section, _, rest = key.partition(".")
    if not rest:
        return (options.pop(key),) if key in options else None
    inner = options.get(section)
    if not isinstance(inner, dict):
        return None
    value = _take(inner, rest)
    if value is not None and not inner:
        del options[section]
    return value


def _put(options: dict[str, Any], key: str, value: Any) -> None:
    *parents, name = key.split(".")
    node = options
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            return  # a value where a section belongs, which is refused by its name later
    node[name] = value
