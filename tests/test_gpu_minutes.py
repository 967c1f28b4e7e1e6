"""benchmarks/gpu.py runs through where there is no GPU, and loses no record to a part that fails or takes too long."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from tests.conftest import REPOSITORY

SCRIPT = [sys.executable, str(REPOSITORY / "benchmarks" / "gpu.py"), "--tiny"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="would measure the GPU at tiny sizes")
def test_every_part_runs_through_and_is_recorded(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    from gpu import PARTS

    file = tmp_path / "gpu.json"
    command = [*SCRIPT, "--minutes", "5", "--json", str(file), "--parts"]
    result = subprocess.run([*command, *PARTS], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    parts = json.loads(file.read_text())["parts"]
    assert list(parts) == list(PARTS)
    assert not [found["missing"] for found in parts.values() if "missing" in found]
    for name, part in PARTS.items():
        assert parts[name]["wall_seconds"] > 0
        assert ("steps_per_second" in parts[name]) == bool(part.case)


def test_a_part_that_fails_hangs_or_dies_leaves_the_others_alone(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    from gpu import Worker

    worker = Worker("cpu", tiny=True, duration=1)
    assert worker.ask("market_224, float32", 0.01) == {"missing": "stopped after 0 s"}
    assert worker.ask("no such part", 60)["missing"].startswith("KeyError: ")
    assert worker.ask("evaluation", 60)["seconds"] > 0
    worker.process.kill()
    worker.process.join()
    assert worker.ask("evaluation", 60) == {"missing": "its process died"}
    assert worker.ask("evaluation", 60)["seconds"] > 0
    worker.stop()
