"""Evaluating retrieval: what is refused before a training, and what an evaluation returns."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from reid_dml.commands.train import train_and_evaluate
from reid_dml.data.sets import load_data
from reid_dml.errors import UserError
from reid_dml.reporting.retrieval_table import RETRIEVAL
from reid_dml.runs.networks import build_network, load_networks
from reid_dml.tasks.task import build_task


def test_an_expansion_beyond_the_gallery_is_refused_before_the_training(make_config):
    count = len(load_data(make_config()).gallery)
    cfg = make_config("TEST.EXPAND", str(count + 1))
    with pytest.raises(UserError, match=rf"TEST\.EXPAND: {count + 1} is more than the {count} gallery images"):
        train_and_evaluate(cfg)
    assert not Path(cfg.OUTPUT_DIR).exists()


def test_ensembles_of_the_first_networks_are_those_of_a_smaller_cohort(make_config):
    cfg = make_config("COHORT.NETWORKS", "[mobilenet_v1_0.25, osnet_x0_25, mobilenet_v1_0.25]",
                      "TEST.ENSEMBLE_SIZES", "[2]")  # fmt: skip
    networks = {index: build_network(cfg, index, 5).eval() for index in range(3)}
    task = build_task(cfg)
    metrics = task.evaluate(networks, "cpu").metrics
    pair = task.evaluate({index: networks[index] for index in (0, 1)}, "cpu").metrics
    assert metrics["ensembles"] == {"2": pair["ensemble"]}
    assert metrics["ensembles"]["2"] != metrics["ensemble"]
    assert "ensembles" not in pair  # two are all there are
    rows = RETRIEVAL.rows(metrics, ["a", "b", "c"])
    assert [row[0] for row in rows[4:]] == ["mean", "ensemble of the first 2", "ensemble"]
    assert rows[5][1:] == RETRIEVAL.rows(pair, ["a", "b"])[4][1:]


@pytest.mark.parametrize(
    ("sizes", "why"), [("[2]", "must be below 2"), ("[1]", "must be at least 2"), ("[2, 2]", "names a number twice")]
)
def test_sizes_of_ensembles_that_cannot_be(make_config, sizes, why):
    networks = 4 if why.startswith("names") else 2
    with pytest.raises(UserError, match=rf"TEST\.ENSEMBLE_SIZES: .*{why}"):
        make_config("COHORT.NETWORKS", str(["mobilenet_v1_0.25"] * networks), "TEST.ENSEMBLE_SIZES", sizes)


def test_every_protocol_works_up_to_the_size_of_the_gallery(make_config, tiny_run):
    count = len(load_data(make_config()).gallery)
    cfg = make_config(
        "TEST.EXPAND", str(count), "TEST.RERANK", "True", "TEST.RERANK_K", f"[{3 * count}, {2 * count}]", "TEST.FPR",
        "[0.0, 0.999]", "TEST.TRAIN_ACCURACY", "True",
    )  # fmt: skip
    task = build_task(cfg)
    evaluation = task.evaluate(load_networks(cfg, tiny_run, "cpu"), "cpu")
    ensemble = evaluation.metrics["ensemble"]
    assert {"single_query", "multi_query", "expanded", "reranked"} <= ensemble.keys()
    # What a report draws: features of the ensemble, of twice a network's width.
    assert {split: len(found) for split, found in evaluation.features.items()} == {
        split: len(getattr(task.data, split)) for split in ("query", "gallery", "boxes")
    }
    assert evaluation.features["query"].features.shape[1] == 2 * 256
    # What the heads make of the training images, as the paper's entropies and Fig. 4(c) want it.
    train = evaluation.metrics["mean"]["classification"]["train"]
    assert {"top1", "entropy", "loss", "posterior"} <= train.keys()
    assert sum(train["posterior"]) == pytest.approx(1)  # of all five persons
    assert 0 < train["entropy"] < math.log(5)
    header, first, *_ = RETRIEVAL.rows(evaluation.metrics, ["network 0", "network 1"])
    entropy = evaluation.metrics["networks"][0]["classification"]["train"]["entropy"]
    assert first[header.index("train entropy")] == f"{entropy:.4f}"
