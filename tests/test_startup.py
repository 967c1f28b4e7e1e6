"""Commands answer `--help` at once: nothing heavy is imported before the arguments are read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

FILES = [*sorted((REPOSITORY / "tools").glob("*.py")), *sorted((REPOSITORY / "benchmarks").glob("*.py"))]
COMMANDS = [path for path in FILES if "__main__" in path.read_text()]
HEAVY = {"torch", "torchvision", "timm", "numpy", "scipy", "cv2", "faiss", "matplotlib", "sklearn", "yacs", "yaml"}
SCRIPT = """
import os, runpy, sys
sys.path.insert(0, os.path.dirname(sys.argv[1]))
sys.argv = [sys.argv[1], *(sys.argv[2:] or ["--help"])]
try:
    if sys.argv[0] == "reid-dml":
        runpy.run_module("reid_dml", run_name="__main__")
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as ended:
    print("modules", *sys.modules)
    raise
"""


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_help_imports_nothing_heavy(path):
    result = subprocess.run([sys.executable, "-c", SCRIPT, path], capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 0, result.stderr
    assert "usage: " in result.stdout
    modules = set(result.stdout.splitlines()[-1].split())
    assert "argparse" in modules
    assert not HEAVY & modules


@pytest.mark.parametrize("words", [("--help",), ("search", "--help"), ("trian",)], ids=" ".join)
def test_the_one_command_answers_as_soon(words):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, "reid-dml", *words], capture_output=True, text=True, cwd=REPOSITORY
    )
    modules = set(result.stdout.splitlines()[-1].split())
    assert "argparse" in modules, result.stderr
    assert not HEAVY & modules


@pytest.mark.parametrize("tool", [path.stem for path in COMMANDS if path.parent.name == "tools"])
def test_every_tool_that_reads_checked_files_can_read_them_unchecked(tool, command):
    words = {"analyse": ("tsne", "--help"), "reproduce": ("run", "--help")}.get(tool, ("--help",))
    assert ("--no-verify" in command(tool, *words).out) == (tool not in ("list_networks", "make_results"))
