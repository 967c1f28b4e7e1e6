"""The rooms of the house: imports, those inside functions too, go down only."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.conftest import REPOSITORY

LIBRARY = REPOSITORY / "reid_dml"
# From the top; a room imports rooms further down only. Modules beside the rooms are rooms of one file.
ROOMS = [
    *("__main__", "commands", "service", "paper", "report_page", "analysis", "reporting", "tasks", "export"),
    *("retrieval", "ranking", "search", "features", "sharing", "inference", "runs", "config", "engine", "mutual"),
    *("models", "classification", "data", "options", "registry", "compiling", "processes", "device", "threads"),
    *("versions", "heartbeat", "digests", "outputs", "locks", "files", "extras", "shipped", "paths", "ending"),
    *("errors", "logs", "timing", "waiting", "measured", "called", "cells", "cohort_metrics", "launched", "text"),
]
# What makes a part usable without a config, or without anything being drawn.
FORBIDDEN = [("models", "yacs"), ("search", "torch"), ("tasks", "matplotlib"), ("ranking", "yacs")]


def imports(room: str) -> Iterator[tuple[str, str]]:
    """(file, imported module) of every import of a room."""
    for path in [*(LIBRARY / room).rglob("*.py"), *LIBRARY.glob(f"{room}.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                yield str(path.relative_to(LIBRARY)), node.module
            if isinstance(node, ast.Import):
                yield from ((str(path.relative_to(LIBRARY)), alias.name) for alias in node.names)


def test_every_room_is_on_the_list():
    found = {path.stem for path in LIBRARY.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert found - {"__init__"} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_is_below_it(room):
    above = ROOMS[: ROOMS.index(room)]
    up = [
        (file, module)
        for file, module in imports(room)
        if module.startswith("reid_dml.") and module.split(".")[1] in above
    ]
    assert not up


@pytest.mark.parametrize(("room", "package"), FORBIDDEN)
def test_a_room_does_without(room, package):
    assert not [(file, module) for file, module in imports(room) if module.split(".")[0] == package]
