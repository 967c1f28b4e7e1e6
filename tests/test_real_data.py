"""The whole way on the real Market-1501, where it is at hand: REID_DML_DATASETS names the folder above it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reid_dml.commands.train import train_and_evaluate
from reid_dml.config import load_config
from reid_dml.data.sets import load_data
from tests.conftest import REPOSITORY

SMALL = [
    "SCALE", "smoke", "DEVICE", "cpu", "DATA.STORED_SIZE", "[64, 32]", "INPUT.SIZE", "[64, 32]",
    "MODEL.LAST_STRIDE", "1", "MODEL.BN_MOMENTUM", "0.1", "MODEL.INIT", "default", "EMA.DECAY", "0.95",
    "COHORT.NETWORKS", "[mobilenet_v1_0.25, mobilenet_v1_0.25]", "COHORT.LR", "3e-3",
    "TEST.TRAIN_ACCURACY", "False", "EXPECTED", "[]",
]  # fmt: skip


def run(options, folder):
    config = REPOSITORY / "configs" / "market_mobilenet_dml.yml"
    cfg = load_config(config, [*SMALL, "THREADS", "1", "OUTPUT_DIR", str(folder), *options])  # see test_quickstart.py
    train_and_evaluate(cfg)
    return json.loads((Path(cfg.OUTPUT_DIR) / "result.json").read_text())["metrics"]


@pytest.mark.filterwarnings("ignore:.*instead of.*")
def test_the_whole_protocol_runs_on_real_images(market_root, tmp_path):
    metrics = run(["DATA.ROOT", str(market_root), "TRAIN.STEPS", "0", "TRAIN.BATCH_SIZE", "32"], tmp_path / "run")
    for found in (*metrics["networks"], metrics["ensemble"]):
        for protocol in ("single_query", "multi_query"):
            assert (found[protocol]["num_queries"], found[protocol]["num_unmatched"]) == (3368, 0)
            assert 0 < found[protocol]["mAP"] < 1


@pytest.mark.filterwarnings("ignore:.*instead of.*")
def test_training_on_some_real_persons_finds_others(market_root, tmp_path):
    config = REPOSITORY / "configs" / "market_mobilenet_dml.yml"
    data = load_data(load_config(config, ["DATA.ROOT", str(market_root)]))
    lines = ["path,person_id,camera_id,split"]
    for split in ("train", "query", "gallery"):
        records = [record for record in getattr(data, split) if record.person_id > 0]
        persons = sorted({record.person_id for record in records})[:100]
        lines += [f"{r.path},{r.person_id},{r.camera_id},{split}" for r in records if r.person_id in persons]
    (tmp_path / "some.csv").write_text("\n".join(lines) + "\n")
    options = ["DATA.NAME", "csv", "DATA.ROOT", str(tmp_path / "some.csv"), "TRAIN.BATCH_SIZE", "32"]
    before = run([*options, "TRAIN.STEPS", "0"], tmp_path / "untrained")["mean"]["single_query"]
    after = run([*options, "TRAIN.STEPS", "400"], tmp_path / "trained")["mean"]["single_query"]
    assert after["mAP"] > 2 * before["mAP"]
    assert after["cmc"][0] > 2 * before["cmc"][0]
