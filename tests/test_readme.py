"""What the README shows runs as it stands behind the quickstart."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.S)
SHELL = [block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) if "market" not in block]


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
