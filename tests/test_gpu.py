"""The same code on a GPU: the result of the plain path, and runs that move between devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from reid_dml.commands import train as command
from reid_dml.commands.train import train_and_evaluate
from reid_dml.commands.training import build_training
from reid_dml.data.sets import load_data
from reid_dml.engine.schedules.schedule import Schedule
from reid_dml.engine.step import GraphedStep
from reid_dml.engine.trainer import Trainer
from reid_dml.errors import UserError
from reid_dml.features import FeatureSet
from reid_dml.ranking.metrics import evaluate_rankings
from tests.engine.test_step import CAPTURED

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("rule", ["simultaneous", "sequential", "fresh_batch"])
def test_one_step_gives_the_weights_of_the_cpu(make_config, rule):
    # Float64 networks: in float32 rounding alone moves some weights by more than any telling tolerance.
    cfg = make_config(
        "UPDATE.RULE", rule, "MODEL.DROPOUT", "0", "OPTIM.NAME", "sgd", "COHORT.LR", "0.01", "INPUT.PAD", "2",
        "INPUT.ERASE", "0.5", "INPUT.BRIGHTNESS", "0.2", "COHORT.NETWORKS", "[resnet20_cifar, resnet20_cifar]",
        "INPUT.SIZE", "[32, 32]",
    )  # fmt: skip
    data = load_data(cfg)
    weights = {}
    for device in ("cpu", "cuda:0"):
        training = build_training(cfg, data, device)
        cohort = training.cohort
        for member in cohort.members:
            member.network.double()
            member.ema.double()
        inputs = cohort.inputs
        cohort.inputs = lambda batch, inputs=inputs: inputs(batch).double()
        training.rule.step(cohort, training.objective, training.batches(0), training.schedule.scalars(0))
        weights[device] = [member.network.cpu().state_dict() for member in cohort.members]
    for on_cpu, on_gpu in zip(weights["cpu"], weights["cuda:0"], strict=True):
        for name, value in on_cpu.items():
            torch.testing.assert_close(on_gpu[name], value, rtol=1e-5, atol=1e-6)


def train_on_gpu(cfg, *, steps=100):
    """The last report and everything that a resumed run depends on."""
    training = build_training(cfg, load_data(cfg), "cuda:0")
    cohort = training.cohort
    for number in range(steps):
        report = training.run_step(number).clone()
    if cfg.TRAIN.GRAPH and not cfg.TRAIN.RECOMPUTE:
        assert isinstance(training.step, GraphedStep)
        assert training.step.replay is not None
    networks = [network for member in cohort.members for network in (member.network, member.ema)]
    states = [value for network in networks for value in network.state_dict().values()]
    for member in cohort.members:
        states += [member.generator.get_state(), member.peer_generator.get_state()]
        for state in member.optimizer.state_dict()["state"].values():
            # RMSpropTF counts steps on the CPU, where no replay goes; nothing reads the count.
            states += [value for value in state.values() if torch.is_tensor(value) and value.is_cuda]
    return [report, *states]


@pytest.fixture
def deterministic(monkeypatch):
    """The same kernels in every run."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)


@pytest.mark.parametrize("options", CAPTURED.values(), ids=CAPTURED)
def test_a_hundred_graphed_steps_are_a_hundred_eager_ones(make_config, deterministic, options):
    cfgs = [make_config("TRAIN.STEPS", "100", *options, "TRAIN.GRAPH", graph) for graph in ("True", "False")]
    for graphed, eager in zip(*map(train_on_gpu, cfgs), strict=True):
        assert torch.equal(graphed, eager)


def test_activations_computed_again_give_the_same_steps(make_config, deterministic):
    again = train_on_gpu(make_config("TRAIN.RECOMPUTE", "True"), steps=6)
    for found, expected in zip(again, train_on_gpu(make_config("TRAIN.GRAPH", "False"), steps=6), strict=True):
        assert torch.equal(found, expected)


def test_a_network_that_waits_for_the_gpu_trains_without_a_graph(make_config, monkeypatch, caplog):
    from reid_dml.models import ReIDNetwork

    original = ReIDNetwork.forward

    def waiting(self, images):
        assert images.mean().item() < 1e6
        return original(self, images)

    monkeypatch.setattr(ReIDNetwork, "forward", waiting)
    cfg = make_config("DEVICE", "cuda")
    train_and_evaluate(cfg)
    assert caplog.text.count("without a CUDA graph") == 1


def test_a_network_that_breaks_the_capture_off_trains_without_a_graph(make_config, monkeypatch, caplog):
    from reid_dml.models import ReIDNetwork

    original = ReIDNetwork.forward

    def forbidden(self, images):
        if torch.cuda.is_current_stream_capturing():
            torch.cuda.synchronize()
        return original(self, images)

    monkeypatch.setattr(ReIDNetwork, "forward", forbidden)
    train_and_evaluate(make_config("DEVICE", "cuda", "MODEL.DROPOUT", "0"))
    assert caplog.text.count("without a CUDA graph") == 1


def test_a_step_of_the_loop_never_waits_for_the_gpu(make_config):
    cfg = make_config("TRAIN.STEPS", "100")
    trainer = Trainer(build_training(cfg, load_data(cfg), "cuda:0"), total_steps=100)
    for _ in range(5):
        trainer.advance()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(20):
            trainer.advance()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_graphed_run_names_the_step_that_broke_and_keeps_the_checkpoint_before(make_config, monkeypatch):
    original = Schedule.scalars

    def broken(self, step):
        scalars = original(self, step)
        return scalars if step != 6 else replace(scalars, learning_rates=scalars.learning_rates * torch.nan)

    monkeypatch.setattr(Schedule, "scalars", broken)
    cfg = make_config("DEVICE", "cuda", "TRAIN.STEPS", "12", "TRAIN.LOG_INTERVAL", "100")
    # The seventh step spoils the weights, the eighth shows it.
    with pytest.raises(UserError, match=r"loss of network 0 is not finite at step 8; .*step_000000006"):
        train_and_evaluate(cfg)


def test_a_graphed_run_resumes_in_the_middle(make_config, deterministic, monkeypatch):
    from reid_dml.data.pipeline import sources

    monkeypatch.setattr(command, "prepare_training", lambda: None)  # it lets cuDNN choose kernels by their speed
    options = ("DEVICE", "cuda", "TRAIN.STEPS", "16")
    whole = make_config(*options)
    parts = make_config(*options, "OUTPUT_DIR", f"{whole.OUTPUT_DIR}_in_parts")
    train_and_evaluate(whole)
    original = sources.BatchSource.batch

    def dying(self, step):
        if step == 9:
            raise KeyboardInterrupt
        return original(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(sources.BatchSource, "batch", dying)
        with pytest.raises(KeyboardInterrupt):
            train_and_evaluate(parts)
    train_and_evaluate(parts, resume=True)
    for name in ("network_0.safetensors", "network_1_ema.safetensors"):
        found, expected = (load_file(Path(cfg.OUTPUT_DIR) / name) for cfg in (parts, whole))
        assert all(torch.equal(found[key], value) for key, value in expected.items())


@pytest.mark.parametrize(("first", "second"), [("cuda", "cuda"), ("cpu", "cuda"), ("cuda", "cpu")])
@pytest.mark.filterwarnings("ignore:.*dropout goes on with other random numbers.*")
def test_a_run_resumes_on_either_device(make_config, monkeypatch, capsys, first, second):
    from reid_dml.data.pipeline import sources

    original, calls = sources.BatchSource.batch, [0]

    def dying(self, step):
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return original(self, step)

    monkeypatch.setattr(sources.BatchSource, "batch", dying)
    with pytest.raises(KeyboardInterrupt):
        train_and_evaluate(make_config("DEVICE", first))
    monkeypatch.undo()
    cfg = make_config("DEVICE", second)
    train_and_evaluate(cfg, resume=True)
    assert "continues at step 2" in capsys.readouterr().out
    assert (Path(cfg.OUTPUT_DIR) / "result.json").is_file()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_ranking_metrics_are_those_of_the_cpu(rng, metric):
    # Unit vectors along the axes: products and norms are exact, and ties are common.
    query, gallery = (
        FeatureSet(
            np.eye(6, dtype=np.float32)[rng.integers(0, 6, count)],
            rng.integers(-1, 9, count),
            rng.integers(-1, 3, count),
            np.full(count, "image"),
        )
        for count in (70, 600)
    )
    expected = evaluate_rankings(query, gallery, metric=metric, fpr=[1e-2])
    found = evaluate_rankings(query, gallery, metric=metric, fpr=[1e-2], device="cuda")
    assert found.as_dict() == expected.as_dict()


def train_compiled(cfg, steps, *, double=False):
    training = build_training(cfg, load_data(cfg), "cuda:0")
    cohort = training.cohort
    networks = [network for member in cohort.members for network in (member.network, member.ema)]
    if double:
        for network in networks:
            network.double()
        # Augmentation computes in float32, which compiled code rounds otherwise: it is compared below.
        inputs = getattr(cohort.inputs, "function", cohort.inputs)
        cohort.inputs = lambda batch: inputs(batch).double()
    reports = [training.run_step(number).clone() for number in range(steps)]
    assert all(member.network.compiled for member in cohort.members) == (cfg.TRAIN.COMPILE == "True")
    if cfg.TRAIN.GRAPH and steps > 3:
        assert training.step.replay is not None
    return [*reports, *(value for network in networks for value in network.state_dict().values())]


@pytest.mark.parametrize("rule", ["simultaneous", "sequential", "fresh_batch"])
@pytest.mark.parametrize("name", ["mobilenet_v1_0.25", "resnet20_cifar"])
def test_compiled_steps_in_a_graph_are_the_plain_ones(make_config, rule, name):
    options = ("UPDATE.RULE", rule, "COHORT.NETWORKS", f"[{name}, {name}]", "INPUT.SIZE", "[32, 32]")
    compiled = make_config(*options, "TRAIN.COMPILE", "True")
    plain = make_config(*options, "TRAIN.COMPILE", "False", "TRAIN.GRAPH", "False")
    # In float64, where rounding hides nothing.
    found, expected = train_compiled(compiled, 6, double=True), train_compiled(plain, 6, double=True)
    for value, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-7, atol=1e-8)


def test_compiled_augmentation_is_the_plain_one(make_config):
    cfg = make_config(
        "TRAIN.COMPILE", "True", "INPUT.PAD", "2", "INPUT.ERASE", "0.5", "INPUT.BRIGHTNESS", "0.2", "INPUT.FLIP", "0.5"
    )
    training = build_training(cfg, load_data(cfg), "cuda:0")
    compiled = training.cohort.inputs
    for number in range(4):
        (batch,) = training.batches(number)
        torch.testing.assert_close(compiled(batch), compiled.function(batch), rtol=1e-5, atol=1e-5)
    assert compiled.succeeds


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_compiled_steps_in_a_graph_are_the_compiled_ones_outside(make_config, deterministic, precision):
    options = ("TRAIN.COMPILE", "True", "TRAIN.PRECISION", precision)
    graphed, eager = (train_compiled(make_config(*options, "TRAIN.GRAPH", graph), 20) for graph in ("True", "False"))
    assert all(torch.equal(value, wanted) for value, wanted in zip(graphed, eager, strict=True))


def test_two_hundred_bfloat16_steps_stay_near_the_float32_ones(make_config):
    options = ("TRAIN.COMPILE", "True", "OPTIM.NAME", "sgd", "COHORT.LR", "0.01", "TRAIN.STEPS", "200")
    losses = []
    for precision in ("float32", "bfloat16"):
        reports = train_compiled(make_config(*options, "TRAIN.PRECISION", precision), 200)[:200]
        losses.append(torch.stack(reports)[-50:, :, -2].mean())  # the whole loss
    torch.testing.assert_close(losses[1], losses[0], rtol=0.1, atol=0.05)
