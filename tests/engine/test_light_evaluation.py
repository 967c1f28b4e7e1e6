"""Evaluations between the steps: their numbers are logged and drawn, and nothing else of the run changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from reid_dml.commands import training
from reid_dml.commands.train import train_and_evaluate
from reid_dml.errors import UserError
from tests.engine.replaying import Replaying
from tests.engine.test_resume import Killed, interrupt, metrics_without_speed

SHAPES = ("DATA.NAME", "synthetic_shapes", "SHAPES.TRAIN_PER_CLASS", "4", "SHAPES.TEST_PER_CLASS", "2")


def numbers_by_step(run):
    """Step and test metrics of the lines that have any."""
    return {line["step"]: line["test"] for line in metrics_without_speed(run) if "test" in line}


def weights(run):
    """The bytes of every tensor; the files' headers hold the config, TEST.INTERVAL included."""
    files = sorted(Path(run).glob("*.safetensors"))
    assert len(files) == 4  # two networks and their averages
    return {(file.name, key): value.numpy().tobytes() for file in files for key, value in load_file(file).items()}


def generators(run, step):
    """The states of all random generators in a checkpoint: torch's own and those of dropout."""
    state = torch.load(Path(run) / "checkpoints" / f"step_{step:09d}" / "trainer.pt", weights_only=True)
    (own,) = state["generators"]
    return own["cpu"].tolist(), [part.tolist() for pair in own["members"] for part in pair]


def without_tests(run):
    return [{key: value for key, value in line.items() if key != "test"} for line in metrics_without_speed(run)]


def test_the_run_is_bit_for_bit_that_without_it(make_config, tiny_run):
    cfg = make_config("TEST.INTERVAL", "2")
    train_and_evaluate(cfg)
    assert weights(cfg.OUTPUT_DIR) == weights(tiny_run)
    assert without_tests(cfg.OUTPUT_DIR) == metrics_without_speed(tiny_run)
    for step in (4, 6):
        one, two = (generators(run, step) for run in (cfg.OUTPUT_DIR, tiny_run))
        assert one == two
    own, other = (json.loads((Path(run) / "result.json").read_text())["metrics"] for run in (cfg.OUTPUT_DIR, tiny_run))
    assert own == other
    # The last of them is the final evaluation's, of the averaged weights.
    found = numbers_by_step(cfg.OUTPUT_DIR)
    assert list(found) == [2, 4, 6]
    assert found[6] == {
        "networks": [
            {"mAP": one["single_query"]["mAP"], "rank-1": one["single_query"]["cmc"][0]} for one in own["networks"]
        ],
        "ensemble": {
            "mAP": own["ensemble"]["single_query"]["mAP"],
            "rank-1": own["ensemble"]["single_query"]["cmc"][0],
        },
    }
    events = EventAccumulator(cfg.OUTPUT_DIR)
    events.Reload()
    for tag, row in (("network_1", lambda test: test["networks"][1]), ("ensemble", lambda test: test["ensemble"])):
        shown = {event.step: event.value for event in events.Scalars(f"test/{tag}/mAP")}
        assert shown == pytest.approx({step: row(test)["mAP"] for step, test in found.items()})
    assert "Test mAP" in (Path(cfg.OUTPUT_DIR) / "report.html").read_text()


def test_a_replayed_step_goes_on_as_it_was(make_config, tmp_path, monkeypatch):
    def run(name, *options):
        build = training.build_training

        def replayed(cfg, *arguments, **options):
            found = build(cfg, *arguments, **options)
            capture = Replaying()
            capture.cohort = found.cohort
            step = training.make_step(found.rule, found.cohort, found.objective, capture)
            captures.append(capture)
            return training.Training(**{**vars(found), "step": step})

        monkeypatch.setattr("reid_dml.commands.train.build_training", replayed)
        cfg = make_config("OUTPUT_DIR", str(tmp_path / name), *options)
        train_and_evaluate(cfg)
        return cfg.OUTPUT_DIR

    captures: list[Replaying] = []
    own, other = run("with", "TEST.INTERVAL", "2"), run("without")
    assert [capture.replays for capture in captures] == [3, 3]
    assert weights(own) == weights(other)
    assert without_tests(own) == metrics_without_speed(other)


def test_a_resumed_run_has_the_same_numbers(make_config, tmp_path, monkeypatch):
    whole = make_config("TEST.INTERVAL", "2", "OUTPUT_DIR", str(tmp_path / "whole"))
    train_and_evaluate(whole)
    parts = make_config("TEST.INTERVAL", "2")
    interrupt(monkeypatch, training.Training, "run_step", 5)
    with pytest.raises(Killed):
        train_and_evaluate(parts)
    monkeypatch.undo()
    train_and_evaluate(parts, resume=True)
    assert metrics_without_speed(parts.OUTPUT_DIR) == metrics_without_speed(whole.OUTPUT_DIR)


def test_one_network_of_classes_has_top_1_at_the_end_too(make_config):
    cfg = make_config(
        *SHAPES, "COHORT.NETWORKS", "[mobilenet_v1_0.25]", "OBJECTIVE.STRATEGY", "independent", "TEST.INTERVAL", "4"
    )
    train_and_evaluate(cfg)
    found = numbers_by_step(cfg.OUTPUT_DIR)
    assert list(found) == [4, 6]
    metrics = json.loads((Path(cfg.OUTPUT_DIR) / "result.json").read_text())["metrics"]
    assert found[6] == {"networks": [{"top1": metrics["networks"][0]["classification"]["test"]["top1"]}]}


def test_an_interval_between_lines_of_the_log_is_refused(make_config):
    with pytest.raises(UserError, match=r"TEST.INTERVAL: 3 must be a multiple of TRAIN.LOG_INTERVAL 2"):
        make_config("TEST.INTERVAL", "3")
