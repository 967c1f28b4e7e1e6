"""What docs/models.md shows runs as it stands behind a training; what needs a further package, where that is there."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys

import torch

from reid_dml.models import build_backbone
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "models.md").read_text()
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.S)
ONNX = all(importlib.util.find_spec(package) for package in ("onnx", "onnxscript", "onnxruntime"))
OPENVINO = ONNX and importlib.util.find_spec("openvino") is not None


def test_every_block_runs(tiny_run, data_root, tmp_path):
    (tmp_path / "runs").mkdir()
    shutil.copytree(tiny_run, tmp_path / "runs" / "quickstart")
    for name, target in (("tools", REPOSITORY / "tools"), (".venv", sys.prefix), ("datasets", data_root)):
        (tmp_path / name).symlink_to(target)
    torch.save(build_backbone("osnet_x0_25", (64, 32)).state_dict(), tmp_path / "osnet_x0_25.pth")
    packages = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    own = {"PYTHONPATH": packages, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment = {**os.environ, **own}
    shell, python = [], []
    for kind, block in BLOCKS:
        if kind == "sh":
            shell.append("\n".join(line for line in block.splitlines() if can_run(line)))
        elif ONNX or "onnxruntime" not in block:
            python.append(block.replace("64, 32", "32, 16"))  # the tiny run's size
    # In one process each, for the time it takes to start: the shell's first, which make what the others read.
    for words in (["bash", "-ec", "\n".join(shell)], [sys.executable, "-c", "\n".join(python)]):
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "models" / "osnet" / "weights.safetensors").is_file()


def can_run(line: str) -> bool:
    """Whether a line's export has the packages it needs."""
    return (ONNX or ".onnx" not in line) and (OPENVINO or ".xml" not in line)


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]*)[^)]*\)", PAGE):
        assert (REPOSITORY / "docs" / target).exists(), target
