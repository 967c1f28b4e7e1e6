"""Optimisers against their formulas and torch's ordinary ones, and what weight decay falls on."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from reid_dml.engine.checkpoints import member_state, restore_member
from reid_dml.engine.optimizers import build_optimizer
from reid_dml.engine.optimizers.decay import decayed_parameters
from reid_dml.models import build_backbone
from reid_dml.mutual.cohort import Member, update_member


@pytest.mark.parametrize("depthwise", [True, False])
def test_weight_decay_spares_biases_norms_and_if_asked_depthwise(depthwise):
    backbone = build_backbone("mobilenet_v1_0.25", (32, 32))
    network = nn.Sequential(backbone, nn.Linear(256, 5))
    decayed, free = decayed_parameters(network, depthwise=depthwise)
    assert len(decayed) + len(free) == len(list(network.parameters()))
    chosen = {id(parameter) for parameter in decayed}
    names = {name for name, parameter in network.named_parameters() if id(parameter) in chosen}
    pointwise = {name for name in names if "conv_pw" in name or "conv_stem" in name}
    assert len(pointwise) == 14
    assert names - pointwise - {"1.weight"} == (
        {n for n, _ in network.named_parameters() if "conv_dw" in n} if depthwise else set()
    )


def test_weight_decay_falls_on_all_weights_of_attention():
    network = nn.Sequential(
        nn.MultiheadAttention(8, 2), nn.MultiheadAttention(8, 2, kdim=4, vdim=6), nn.Conv1d(3, 4, 1)
    )
    chosen = {id(parameter) for parameter in decayed_parameters(network, depthwise=True)[0]}
    assert {name for name, parameter in network.named_parameters() if id(parameter) in chosen} == {
        *("0.in_proj_weight", "0.out_proj.weight", "2.weight", "1.out_proj.weight"),
        *("1.q_proj_weight", "1.k_proj_weight", "1.v_proj_weight"),
    }


def test_weight_decay_on_everything_but_depthwise_convolutions():
    network = nn.Sequential(build_backbone("mobilenet_v1_0.25", (32, 32)), nn.Linear(256, 5))
    spared = {id(parameter) for parameter in decayed_parameters(network, depthwise=False, norm=True)[1]}
    names = {name for name, _ in network.named_parameters()}
    assert {n for n, p in network.named_parameters() if id(p) in spared} == {n for n in names if "conv_dw" in n}
    assert len(decayed_parameters(network, depthwise=True, norm=True)[0]) == len(names)


def test_rmsprop_follows_tensorflow_s_formula_at_the_scheduled_rates(make_config):
    # ms <- 0.9 ms + 0.1 g^2 from 1; momentum <- 0.9 momentum + lr g / sqrt(ms + 1); w <- w - momentum
    gradients, rates = (2.0, -1.0, 3.0, 0.5), (0.1, 0.1, 0.016, 0.016)
    cfg = make_config(
        "OPTIM.NAME", "rmsprop_tf", "OPTIM.EPS", "1.0", "OPTIM.WEIGHT_DECAY", "0.01", "OPTIM.DECAY_NORM", "True"
    )  # fmt: skip
    network = nn.Linear(1, 1)
    nn.init.ones_(network.weight)
    nn.init.ones_(network.bias)
    member = Member(0, network, build_optimizer(cfg.OPTIM, network, rates[0]), torch.Generator())
    weight, mean_square, momentum, trajectory = 1.0, 1.0, 0.0, []
    for gradient, rate in zip(gradients, rates, strict=True):
        restore_member(member, copy.deepcopy(member_state(member)), Path("a checkpoint"))  # may come at any step
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        update_member(member, torch.tensor(rate, dtype=torch.float64), torch.tensor(0.0))
        coupled = gradient + 0.01 * weight
        mean_square = 0.9 * mean_square + 0.1 * coupled**2
        momentum = 0.9 * momentum + rate * coupled / math.sqrt(mean_square + 1.0)
        weight -= momentum
        trajectory.append(weight)
        assert network.weight.item() == pytest.approx(weight, rel=1e-6)
        assert network.bias.item() == pytest.approx(weight, rel=1e-6)
    assert trajectory[0] == pytest.approx(1 - 0.1 * 2.01 / math.sqrt(2.30401))


@pytest.mark.parametrize("name", ["adam", "sgd", "adamw"])
def test_one_step_equals_torch_s_ordinary_optimiser(make_config, name):
    def network():
        torch.manual_seed(0)
        return nn.Linear(4, 3)

    cfg = make_config("OPTIM.NAME", name, "OPTIM.WEIGHT_DECAY", "0.1", "OPTIM.BETAS", "[0.5, 0.99]")
    ours, plain = network(), network()
    optimizer = build_optimizer(cfg.OPTIM, ours, 0.01)
    groups = [{"params": [plain.weight], "weight_decay": 0.1}, {"params": [plain.bias], "weight_decay": 0.0}]
    ordinary = {
        "adam": lambda: torch.optim.Adam(groups, lr=0.01, betas=(0.5, 0.99), foreach=False),
        "adamw": lambda: torch.optim.AdamW(groups, lr=0.01, betas=(0.5, 0.99), foreach=False),
        "sgd": lambda: torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True, foreach=False),
    }[name]()
    for _ in range(3):
        for model, stepper in ((ours, optimizer), (plain, ordinary)):
            stepper.zero_grad()
            model(torch.ones(2, 4)).square().sum().backward()
            stepper.step()
    torch.testing.assert_close(ours.weight, plain.weight, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(ours.bias, plain.bias, rtol=1e-6, atol=1e-7)
