"""The whole way on the real Market-1501, where it is at hand: REID_DML_DATASETS names the folder above it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reid_dml.config import load_config
from reid_dml.engine.experiment import train_and_evaluate
from tests.conftest import REPOSITORY


@pytest.mark.filterwarnings("ignore:.*instead of.*")
def test_a_short_training_learns_on_real_images(market_root, tmp_path):
    cfg = load_config(
        REPOSITORY / "configs" / "market_mobilenet_dml.yml",
        [
            "DATA.ROOT", str(market_root), "OUTPUT_DIR", str(tmp_path / "run"), "SCALE", "smoke",
            "DATA.STORED_SIZE", "[64, 32]", "INPUT.SIZE", "[64, 32]", "EMA.DECAY", "0.9", "COHORT.LR", "2e-3",
            "MODEL.LAST_STRIDE", "1", "MODEL.BN_MOMENTUM", "0.1", "MODEL.INIT", "default",
            "COHORT.NETWORKS", "[mobilenet_v1_0.25, mobilenet_v1_0.25]", "TRAIN.STEPS", "150", "TRAIN.BATCH_SIZE", "32",
            "TEST.TRAIN_ACCURACY", "False", "DEVICE", "cpu",
        ],
    )  # fmt: skip
    train_and_evaluate(cfg)
    metrics = json.loads((Path(cfg.OUTPUT_DIR) / "result.json").read_text())["metrics"]
    for found in (*metrics["networks"], metrics["ensemble"]):
        for protocol in ("single_query", "multi_query"):
            assert found[protocol]["num_queries"] == 3368
            assert found[protocol]["num_unmatched"] == 0
            # A random ranking has a rank-1 of about 0.1 %.
            assert found[protocol]["cmc"][0] > 0.01
