"""Training with the options of docs/training.md switched on: runs, records, and resumes bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from reid_dml.commands.train import train_and_evaluate
from reid_dml.commands.training import build_training
from reid_dml.data.pipeline import sources
from reid_dml.data.sets import load_data
from reid_dml.engine.checkpoints import Checkpoints
from reid_dml.mutual.terms.center import move_centers
from reid_dml.runs.networks import build_network
from tests.engine.test_resume import Killed, interrupt, metrics_without_speed, weights

EVERYTHING = {
    "INPUT.PAD": "2",
    "INPUT.BRIGHTNESS": "0.2",
    "INPUT.CONTRAST": "0.2",
    "INPUT.SATURATION": "0.2",
    "INPUT.ERASE": "0.5",
    "SAMPLER.NAME": "cross_camera",
    "SAMPLER.IMAGES_PER_IDENTITY": "2",
    "OBJECTIVE.TRIPLET_WEIGHT": "1.0",
    "OBJECTIVE.CIRCLE_WEIGHT": "0.1",
    "OBJECTIVE.CENTER_WEIGHT": "0.0005",
    "OPTIM.CLIP_NORM": "5.0",
    "TRAIN.ACCUMULATION": "2",
    "TRAIN.PRECISION": "bfloat16",
    "MODEL.NECK": "bn",
}


@pytest.fixture
def make_everything(make_config, tmp_path):
    def make(name, *overrides):
        options = [text for option in EVERYTHING.items() for text in option]
        return make_config(*options, "OUTPUT_DIR", str(tmp_path / name), *overrides)

    return make


@pytest.mark.parametrize("rule", ["simultaneous", "sequential", "fresh_batch"])
def test_a_run_with_every_option_resumes_bit_for_bit(make_everything, monkeypatch, rule):
    asked, original = [], sources.BatchSource.batch

    def counting(source, step):
        asked.append(step)
        return original(source, step)

    monkeypatch.setattr(sources.BatchSource, "batch", counting)
    whole, parts = (make_everything(name, "UPDATE.RULE", rule) for name in ("whole", "parts"))
    train_and_evaluate(whole)
    batches = 6 * 2 * (2 if rule == "fresh_batch" else 1)  # updates, ACCUMULATION, batches an update
    assert asked == list(range(batches))
    interrupt(monkeypatch, sources.BatchSource, "batch", batches // 2)
    with pytest.raises(Killed):
        train_and_evaluate(parts)
    monkeypatch.undo()
    torch.manual_seed(123)
    train_and_evaluate(parts, resume=True)
    assert weights(parts.OUTPUT_DIR) == weights(whole.OUTPUT_DIR)
    assert metrics_without_speed(parts.OUTPUT_DIR) == metrics_without_speed(whole.OUTPUT_DIR)
    terms = ("identity", "mimicry", "triplet", "circle", "center")
    for line in metrics_without_speed(whole.OUTPUT_DIR):
        for metrics in line["networks"]:
            assert metrics["loss"] == pytest.approx(sum(metrics[name] for name in terms))
            assert min(metrics[name] for name in terms) > 0
    record = json.loads((Path(whole.OUTPUT_DIR) / "result.json").read_text())
    assert record["objective"]["regularisers"] == {"triplet": 1.0, "circle": 0.1, "center": 0.0005}
    saved = load_file(Path(whole.OUTPUT_DIR) / "network_0.safetensors")
    assert "centers" not in saved  # nobody needs them but a training that goes on
    assert all(value.dtype in (torch.float32, torch.int64) for value in saved.values())
    last = Checkpoints(Path(whole.OUTPUT_DIR) / "checkpoints")
    kept = torch.load(last.path(last.steps()[-1]) / "network_0.pt", weights_only=True)["terms"]
    assert kept["center"]["centers"].any(1).all()  # every person was seen


@pytest.mark.parametrize("rule", ["simultaneous", "sequential", "fresh_batch"])
def test_centers_follow_the_network_s_own_batches(make_config, rule):
    cfg = make_config("OBJECTIVE.CENTER_WEIGHT", "0.01", "OBJECTIVE.CENTER_RATE", "0.25", "UPDATE.RULE", rule)
    training = build_training(cfg, load_data(cfg), "cpu")
    cohort = training.cohort
    found = [member.term_state["center"]["centers"] for member in cohort.members]
    expected = [torch.zeros_like(centers) for centers in found]

    for member in cohort.members:

        def watch(_, __, output, index=member.index, seen=expected):
            if torch.is_grad_enabled():  # the passes a network learns from
                label = own[index].labels
                move_centers(seen[index], output.features, label, 0.25)

        member.network.register_forward_hook(watch)
    for step in range(2):
        batches = training.batches(step)
        own = batches if rule == "fresh_batch" else batches * 2
        training.run_step(step)
    for centers, wanted in zip(found, expected, strict=True):
        assert centers.shape == (5, 256)
        assert torch.equal(centers, wanted)
        assert centers.any()


def test_a_term_s_state_costs_the_network_nothing(make_config):
    network = build_network(make_config("OBJECTIVE.CENTER_WEIGHT", "0.1"), 0, 5)
    plain = build_network(make_config(), 0, 5)
    assert network.state_dict().keys() == plain.state_dict().keys()
    for name, value in plain.state_dict().items():
        assert torch.equal(network.state_dict()[name], value)


def test_the_numbers_of_an_option_that_is_off_change_no_bit(make_config, tiny_run):
    cfg = make_config(
        "SAMPLER.IMAGES_PER_IDENTITY", "8", "OBJECTIVE.CIRCLE_SCALE", "1", "INPUT.ERASE_AREA", "[0.1, 0.2]"
    )
    train_and_evaluate(cfg)
    for file in sorted(tiny_run.glob("*.safetensors")):  # whose headers tell the configs apart
        assert save(load_file(Path(cfg.OUTPUT_DIR) / file.name)) == save(load_file(file))
