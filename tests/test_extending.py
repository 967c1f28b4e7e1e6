"""docs/extending.md: every example is put where the page says, linted, and its test run, in a copy of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "extending.md").read_text()
FILES = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE, re.S)
TESTS = [path for path, _ in FILES if path.startswith("tests/")]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the files of the page in their places."""
    root = tmp_path_factory.mktemp("copy")
    for name in ("reid_dml", "tests"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", root)
    for path, text in FILES:
        assert not (root / path).exists(), path
        (root / path).write_text(text)
    return root


def test_every_example_is_one_library_file_and_one_test():
    assert "```python" not in re.sub(r"```python\n# \S+\.py\n", "", PAGE)
    assert len(TESTS) == len(FILES) - len(TESTS) >= 6


def test_every_example_runs(copy):
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    environment = {**os.environ, "PYTHONPATH": str(copy)}  # the copy's package, not the one that is installed
    done = subprocess.run(run, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.parametrize("words", [["check"], ["format", "--check"]], ids=["check", "format"])
def test_every_example_follows_the_style(copy, words):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *words, *(path for path, _ in FILES)], cwd=copy, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
