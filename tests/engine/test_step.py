"""The graphed step: fixed tensors, replays, and a capture that fails. On a GPU: tests/test_gpu.py."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException

from benchmarks.operator_calls import counts_of
from reid_dml import compiling
from reid_dml.commands.training import build_training, compiles
from reid_dml.data.sets import load_data
from reid_dml.engine.step import make_step
from reid_dml.errors import UserError
from reid_dml.models import build
from reid_dml.models.build import seed_dropout
from reid_dml.models.mobilenet_v1 import SeparableBlock
from reid_dml.models.reid_network import Dropout, ReIDNetwork
from tests.engine.replaying import Replaying

CAPTURED = {
    "simultaneous": [],
    "sequential": ["UPDATE.RULE", "sequential"],
    "fresh_batch": ["UPDATE.RULE", "fresh_batch"],
    "accumulation": ["TRAIN.ACCUMULATION", "2"],
    "sequential_accumulation": ["UPDATE.RULE", "sequential", "TRAIN.ACCUMULATION", "2"],
    "alone": ["COHORT.NETWORKS", "[mobilenet_v1_0.25]", "OBJECTIVE.STRATEGY", "independent"],
    "five": ["COHORT.NETWORKS", str(["mobilenet_v1_0.25"] * 5)],
    "ensemble_teacher": ["OBJECTIVE.STRATEGY", "dml_e"],
    "features": ["OBJECTIVE.FEATURE_L2_WEIGHT", "0.1"],
    "semi_supervised": ["SEMI.LABELLED_IDENTITIES", "2"],
    "contiguous": ["TRAIN.CHANNELS_LAST", "False"],
    "streaming": ["DATA.SOURCE", "streaming"],
    "reflection": [
        "COHORT.NETWORKS", "[resnet20_cifar, resnet20_cifar]", "INPUT.SIZE", "[32, 32]", "INPUT.PAD", "4",
        "INPUT.PAD_MODE", "reflect",
    ],
    "adamw": ["OPTIM.NAME", "adamw"],
    "sgd": ["OPTIM.NAME", "sgd", "COHORT.LR", "0.01"],
    "rmsprop_tf": ["OPTIM.NAME", "rmsprop_tf"],
    "clipping": ["OPTIM.CLIP_NORM", "1.0"],
    "bfloat16": ["TRAIN.PRECISION", "bfloat16"],
    "three": ["COHORT.NETWORKS", "[mobilenet_v1_0.25, mobilenet_v1_0.25, mobilenet_v1_0.25]"],
    "augmentation": ["INPUT.PAD", "2", "INPUT.ERASE", "0.5", "INPUT.BRIGHTNESS", "0.2", "INPUT.CROP", "inception"],
    "metric_losses": [
        "SAMPLER.NAME", "identity", "OBJECTIVE.TRIPLET_WEIGHT", "1.0", "OBJECTIVE.CIRCLE_WEIGHT", "1.0",
        "OBJECTIVE.CENTER_WEIGHT", "5e-4", "MODEL.NECK", "bn",
    ],
}  # fmt: skip


def train(cfg, capture=None, steps=8):
    """Reports and states of a cohort after some steps, eager or captured."""
    training = build_training(cfg, load_data(cfg), "cpu")
    if capture is not None:
        capture.cohort = training.cohort
        step = make_step(training.rule, training.cohort, training.objective, capture)
        training = replace(training, step=step)
    reports = [training.run_step(number).clone() for number in range(steps)]
    networks = [network for member in training.cohort.members for network in (member.network, member.ema)]
    return torch.stack(reports), [tensor for network in networks for tensor in network.state_dict().values()]


def assert_same(found, expected):
    assert torch.equal(found[0], expected[0])
    for value, wanted in zip(found[1], expected[1], strict=True):
        assert torch.equal(value, wanted)


@pytest.mark.parametrize("options", CAPTURED.values(), ids=CAPTURED)
def test_a_graphed_step_sees_every_batch_and_every_scalar(make_config, options):
    cfg = make_config(*options)
    capture = Replaying()
    assert_same(train(cfg, capture), train(cfg))
    assert (capture.runs, capture.replays) == (3, 5)


def test_a_step_that_cannot_be_captured_goes_on_and_says_so(make_config, caplog):
    cfg, capture = make_config(), Replaying(waits="network.py:7 waits for the GPU")
    assert_same(train(cfg, capture), train(cfg))
    said = [line for line in caplog.messages if "without a CUDA graph" in line]
    assert len(said) == 1
    assert "network.py:7" in said[0]
    assert (capture.runs, capture.replays) == (3, 0)


def test_a_capture_that_breaks_off_leaves_nothing_behind(make_config, caplog):
    cfg, capture = make_config(), Replaying(breaks_off="operation not permitted")
    assert_same(train(cfg, capture), train(cfg))
    assert caplog.messages == ["training goes on without a CUDA graph: operation not permitted"]
    assert (capture.runs, capture.replays) == (3, 0)


def test_a_capture_with_no_way_back_says_how_to_go_on(make_config, monkeypatch):
    def stuck(self, images):
        raise RuntimeError("Offset increment outside graph capture encountered unexpectedly.")

    capture, original = Replaying(breaks_off="operation not permitted"), Replaying.capture

    def breaking(self, work):
        monkeypatch.setattr(ReIDNetwork, "forward", stuck)
        return original(self, work)

    monkeypatch.setattr(Replaying, "capture", breaking)
    with pytest.raises(UserError, match=r"TRAIN\.GRAPH: .*operation not permitted.*resume the run"):
        train(make_config(), capture)


@pytest.mark.parametrize("rule", ["simultaneous", "sequential", "fresh_batch"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_activations_computed_again_give_the_same_step(make_config, rule, precision):
    options = ("UPDATE.RULE", rule, "TRAIN.PRECISION", precision)
    assert_same(train(make_config(*options, "TRAIN.RECOMPUTE", "True")), train(make_config(*options)))


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_networks_and_losses_take_the_same_steps(make_config, monkeypatch):
    # Passes without a trace, too, and the statistics that they must not move. In float64: rounding hides nothing.
    monkeypatch.setattr(build, "build_backbone", lambda *_, **__: Small())
    (counts, *found), (plain_counts, *expected) = (
        train_in_float64(make_config("UPDATE.RULE", "sequential", "TRAIN.COMPILE", compiled))
        for compiled in ("True", "False")
    )
    for value, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(value, plain, rtol=1e-9, atol=1e-9)
    convolutions = sum(counts["calls"][name] for name in ("convolution", "convolution_backward"))
    assert convolutions == sum(plain_counts["calls"][name] for name in ("convolution", "convolution_backward"))
    assert counts["operators"] - convolutions < (plain_counts["operators"] - convolutions) / 2
    assert 0 < counts["kernels"] < plain_counts["operators"] / 3


class Small(nn.Module):
    """A stem and a block of MobileNet: compiled in seconds."""

    num_features = 8

    def __init__(self):
        super().__init__()
        self.stem, self.norm, self.block = nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), SeparableBlock(4, 8, 2)

    def forward(self, images):
        return self.block(torch.relu(self.norm(self.stem(images))))


def train_in_float64(cfg):
    """What the fourth step asks of the device, and reports and states of a cohort after it."""
    training = build_training(cfg, load_data(cfg), "cpu")
    cohort = training.cohort
    networks = [network for member in cohort.members for network in (member.network, member.ema)]
    for network in networks:
        network.double()
    inputs = cohort.inputs
    cohort.inputs = lambda batch: inputs(batch).double()
    reports = [training.run_step(number).clone() for number in range(3)]
    counts = counts_of(lambda: reports.append(training.run_step(3).clone()))
    return [counts, *reports, *(tensor for network in networks for tensor in network.state_dict().values())]


@pytest.mark.parametrize(
    ("options", "device", "expected"),
    [
        ((), "cuda:0", False),  # too short
        (("TRAIN.STEPS", "200000"), "cuda:0", True),
        (("TRAIN.STEPS", "200000"), "cpu", False),
        (("TRAIN.STEPS", "200000", "TRAIN.RECOMPUTE", "True"), "cuda:0", False),
        (("TRAIN.STEPS", "200000", "TRAIN.COMPILE", "no"), "cuda:0", False),
        (("TRAIN.COMPILE", "true"), "cpu", True),
    ],
)
def test_long_runs_on_a_gpu_are_compiled(make_config, options, device, expected):
    assert compiles(make_config(*options), device) == expected


def test_a_run_that_is_lengthened_goes_on_as_it_began(make_config):
    cfg = make_config("TRAIN.STEPS", "20000")
    assert [compiles(cfg, "cuda:0", begun) for begun in (9000, 20000)] == [False, True]


def test_a_network_that_cannot_be_compiled_goes_on_and_says_so(make_config, monkeypatch, caplog):
    def broken(*_):
        raise TorchDynamoException("no compiler")

    monkeypatch.setattr(torch, "compile", lambda function, **_: broken)
    monkeypatch.setattr(compiling, "_said", set())
    assert_same(train(make_config("TRAIN.COMPILE", "True")), train(make_config()))
    said = [line for line in caplog.messages if "without torch.compile: " in line]
    assert [line.split(" goes")[0] for line in said] == ["augmentation", "training", "the loss"]
    assert "no compiler" in said[0]


def test_dropout_inside_a_backbone_draws_the_same_again():
    def trained(recompute: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        # Spectral norm computes with the buffers that it has just moved: the second pass must start from the old ones.
        convolution = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 8, 3))
        backbone = nn.Sequential(convolution, nn.BatchNorm2d(8), Dropout(0.5), nn.Dropout(0.3), nn.ReLU())
        backbone.num_features = 8
        network = ReIDNetwork(backbone, 5, dropout=0.5, recompute=recompute)
        generator = seed_dropout(network, 0, 0, "cpu")
        images = torch.randn(6, 3, 9, 9)
        for _ in range(2):
            network(images).logits.square().sum().backward()
        gradients = [parameter.grad for parameter in network.parameters()]
        return [*gradients, *network.buffers(), generator.get_state(), torch.get_rng_state()]

    for value, expected in zip(trained(True), trained(False), strict=True):
        assert torch.equal(value, expected)
