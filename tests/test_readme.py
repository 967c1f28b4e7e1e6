"""What the README shows runs as it stands behind the quickstart."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reid_dml.commands.train import train_and_evaluate
from reid_dml.config import load_config
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.S)
SHELL = [block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) if "market" not in block]


@pytest.fixture(scope="module")
def behind_the_quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which a much shortened quickstart has run."""
    root, here = tmp_path_factory.mktemp("checkout"), Path.cwd()
    for name in ("tools", "configs"):
        (root / name).symlink_to(REPOSITORY / name)
    (root / ".venv").symlink_to(sys.prefix)
    (root / "datasets").mkdir()
    os.chdir(root)
    try:
        train_and_evaluate(load_config("configs/quickstart.yml", ["TRAIN.STEPS", "20", "THREADS", "1"]))
    finally:
        os.chdir(here)
    return root


@pytest.mark.parametrize(
    ("command", "block"),
    [*(([sys.executable, "-c"], block) for block in PYTHON), *((["bash", "-ec"], block) for block in SHELL)],
    ids=[*(f"python{n}" for n in range(len(PYTHON))), *(f"shell{n}" for n in range(len(SHELL)))],
)
def test_every_block_runs(behind_the_quickstart, command, block):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, block], cwd=behind_the_quickstart, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_every_link_leads_somewhere():
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", PAGE, re.M)
    }
    for target in re.findall(r"\]\(([^)]*)\)", PAGE):
        path, _, anchor = target.partition("#")
        assert (REPOSITORY / path).exists() if path else anchor in headings, target
