"""What commands print names other commands as this user calls them."""

from __future__ import annotations

import ast
import re
import sys

import pytest

from reid_dml.called import TOOLS, as_called
from tests.conftest import REPOSITORY

TEXT = """Search an index of reid-dml index.

    reid-dml search --index x
    torchrun --nproc-per-node 2 -m reid_dml train --config quickstart"""


@pytest.mark.parametrize("script", ["/usr/bin/reid-dml", "/x/reid_dml/__main__.py", "tools/other.py", "train_net.py"])
def test_the_command_is_named_as_it_stands(monkeypatch, script):
    monkeypatch.setattr(sys, "argv", [script])
    assert as_called(TEXT) == TEXT


def test_the_tools_are_named_where_one_was_started(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tools/train_net.py"])
    assert as_called(TEXT) == (
        "Search an index of tools/build_index.py.\n\n    python tools/search_gallery.py --index x\n"
        "    torchrun --nproc-per-node 2 tools/train_net.py --config quickstart"
    )


def test_every_tool_is_a_command_and_every_command_a_tool():
    assert sorted(TOOLS.values()) == sorted(path.stem for path in (REPOSITORY / "tools").glob("*.py"))
    modules = {path.stem for path in (REPOSITORY / "reid_dml" / "commands" / "cli").glob("*.py")}
    assert modules == {*TOOLS, "__init__", "entry", "names"}


@pytest.mark.parametrize(("name", "tool"), TOOLS.items())
def test_a_tool_and_its_command_have_one_help(command, monkeypatch, capfd, name, tool):
    from reid_dml.commands.cli.entry import call

    by_tool = command(tool, "--help").out
    monkeypatch.setattr(sys, "argv", ["reid-dml", name])
    with pytest.raises(SystemExit):
        call(name, ["--help"])
    by_command = capfd.readouterr().out
    options = [set(re.findall(r"^  (?:-\S+, )?(--[a-z-]+)", text, re.M)) for text in (by_tool, by_command)]
    assert options[0] == options[1] != set()
    assert f"usage: {tool}.py" in by_tool
    assert f"usage: reid-dml {name}" in by_command
    assert "reid-dml" not in by_tool
    assert "tools/" not in by_command


def test_no_text_of_the_library_names_a_tool():
    for path in (REPOSITORY / "reid_dml").rglob("*.py"):
        if path.name in ("called.py", "entry.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.search(r"tools/\w+\.py", node.value), f"{path}:{node.lineno}: write `reid-dml NAME`"


@pytest.mark.parametrize(("name", "tool"), TOOLS.items())
def test_a_wrong_argument_is_one_line(name, tool, command):
    result = command(tool, "--no-such-argument", "x")
    assert result.error.endswith("; see --help")
    assert len(result.err.splitlines()) == 1
