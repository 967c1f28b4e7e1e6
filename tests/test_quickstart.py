"""The quickstart stays hard enough to be worth looking at, and easy enough to show that training works."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

from reid_dml.commands.train import train_and_evaluate
from reid_dml.config import load_config
from tests.conftest import REPOSITORY


def test_the_quickstart_lands_between_40_and_90_map(tmp_path, capsys):
    # One thread: two that wait for each other beside another test's take several times as long.
    options = ["DATA.ROOT", str(tmp_path / "datasets"), "DEVICE", "cpu", "THREADS", "1"]
    cfg = load_config(REPOSITORY / "configs" / "quickstart.yml", ["OUTPUT_DIR", str(tmp_path / "run"), *options])
    train_and_evaluate(cfg)
    metrics = json.loads((Path(cfg.OUTPUT_DIR) / "result.json").read_text())["metrics"]
    for found in (*metrics["networks"], metrics["ensemble"]):
        assert 0.4 < found["single_query"]["mAP"] < 0.9
        assert found["multi_query"]["mAP"] > found["single_query"]["mAP"]
    assert metrics["ensemble"]["single_query"]["mAP"] > metrics["mean"]["single_query"]["mAP"]
    assert "ensemble" in capsys.readouterr().out
    # Its networks know persons again who come back elsewhere, in another pose.
    kept = runpy.run_path(str(REPOSITORY / "examples" / "tracker.py"))["main"](cfg.OUTPUT_DIR)
    assert kept["by overlap alone"] == 0
    assert kept["and by appearance"] >= 5  # of six
