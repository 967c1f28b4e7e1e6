"""Several batches for one update, gradient clipping and bfloat16."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from reid_dml.data.pipeline.sources import Batch
from reid_dml.models import Output, ReIDNetwork, build_backbone
from reid_dml.models.cast_weights import cast_weights
from reid_dml.models.reid_network import Dropout
from reid_dml.mutual.cohort import Member, update_member
from reid_dml.mutual.updates import UPDATE_RULES
from tests.mutual.test_updates import C, D, Linear, Normalised, Objective, make_cohort, scalars

SIZE, SHARES, ROWS = 3, 4, 6
RULES = ("simultaneous", "sequential", "fresh_batch")


def make_batch(x, y):
    return Batch(x, y, torch.zeros(len(x)), torch.zeros(len(x), 1))


def networks():
    generator = torch.Generator().manual_seed(0)
    return [Linear(torch.randn(C, D, generator=generator, dtype=torch.float64).tolist()).double() for _ in range(SIZE)]


@pytest.mark.parametrize("rule", RULES)
def test_accumulated_batches_equal_one_larger_batch(rule):
    generator = torch.Generator().manual_seed(1)
    cohorts = [make_cohort(networks()) for _ in range(2)]
    for _ in range(3):
        per_step = UPDATE_RULES.get(rule)().batches_per_step(SIZE)
        x = torch.randn(per_step, SHARES, ROWS, D, generator=generator, dtype=torch.float64)
        y = torch.randint(C, (per_step, SHARES, ROWS), generator=generator)
        whole = [make_batch(x[k].flatten(0, 1), y[k].flatten()) for k in range(per_step)]
        # Dealt out in turn: with fresh batches every network gets one, then every network its second.
        shares = [make_batch(x[k, share], y[k, share]) for share in range(SHARES) for k in range(per_step)]
        reports = [
            UPDATE_RULES.get(rule)().step(cohort, Objective(), batches, scalars(SIZE))
            for cohort, batches in zip(cohorts, (whole, shares), strict=True)
        ]
        torch.testing.assert_close(reports[0], reports[1], rtol=0, atol=1e-6)
    start = networks()
    for k in range(SIZE):
        large, small = (cohort.members[k].network.weight for cohort in cohorts)
        torch.testing.assert_close(large, small, rtol=0, atol=1e-6)
        assert not torch.allclose(large, start[k].weight, atol=1e-2)


@pytest.mark.parametrize("rule", RULES)
def test_statistics_and_dropout_move_once_a_batch(rule):
    generator = torch.Generator().manual_seed(1)
    cohort = make_cohort([nn.Sequential(Normalised(k)) for k in range(SIZE)])
    masks = {k: [] for k in range(SIZE)}
    for member in cohort.members:
        dropout = Dropout(0.5)
        dropout.generator = member.generator
        member.network.append(WithDropout(dropout, masks[member.index]))
    count = UPDATE_RULES.get(rule)().batches_per_step(SIZE) * SHARES
    batches = [
        make_batch(torch.randn(ROWS, D, generator=generator), torch.randint(C, (ROWS,), generator=generator))
        for _ in range(count)
    ]
    UPDATE_RULES.get(rule)().step(cohort, Objective(), batches, scalars(SIZE))
    for member in cohort.members:
        assert member.network[0].norm.num_batches_tracked == SHARES
        # Passes that count, seen in a network that learns: one mask each, no mask twice.
        learned = [mask for mask, grad in masks[member.index] if grad]
        assert len(learned) == SHARES
        assert len({tuple(mask.flatten().tolist()) for mask in learned}) == SHARES


class WithDropout(nn.Module):
    def __init__(self, dropout, masks):
        super().__init__()
        self.dropout, self.masks = dropout, masks

    def forward(self, output):
        dropped = self.dropout(torch.ones(ROWS, 16))
        self.masks.append((dropped, torch.is_grad_enabled()))
        return Output(output.logits * dropped.mean(), output.features)


@pytest.mark.parametrize("limit", [0.5, 2.0, 0.0])
def test_the_gradient_is_scaled_down_to_the_limit(limit):
    network = nn.Linear(2, 2, bias=False)
    nn.init.zeros_(network.weight)
    optimizer = torch.optim.SGD(network.parameters(), lr=torch.tensor(1.0))
    member = Member(0, network, optimizer, torch.Generator(), clip_norm=limit)
    direction = torch.tensor([[0.6, 0.0], [0.0, -0.8]])  # of length 1
    for _ in range(2):  # the second update starts from an empty gradient
        (network.weight * direction).sum().backward()
        update_member(member, torch.tensor(1.0), torch.tensor(1.0))
    expected = -2 * direction * (0.5 if limit == 0.5 else 1.0)
    torch.testing.assert_close(network.weight.detach(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_bfloat16_computes_the_passes_and_nothing_else(rule):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(ROWS, D, generator=generator)
    batch = make_batch(x, torch.randint(C, (ROWS,), generator=generator))
    seen, cohorts, reports = [], [], []

    class Recording(Objective):
        def __call__(self, output, peers, batch, scalars, state):
            seen.append({output.logits.dtype, *(peer.logits.dtype for peer in peers)})
            terms = super().__call__(output, peers, batch, scalars, state)
            assert all(term.dtype != torch.bfloat16 for term in terms.values())
            return terms

    for bfloat16 in (False, True):
        cohort = make_cohort([Linear(network.weight.tolist()).float() for network in networks()])
        cohort.bfloat16 = bfloat16
        cohort.teachers = [Linear(networks()[0].weight.tolist()).float()]
        seen.clear()
        count = UPDATE_RULES.get(rule)().batches_per_step(SIZE)
        reports.append(UPDATE_RULES.get(rule)().step(cohort, Recording(), [batch] * count, scalars(SIZE)))
        assert set().union(*seen) == {torch.bfloat16 if bfloat16 else torch.float32}
        cohorts.append(cohort)
    # bfloat16 keeps 8 bits.
    torch.testing.assert_close(reports[0], reports[1], rtol=0.02, atol=0.02)
    assert not torch.equal(reports[0], reports[1])
    for exact, rough in zip(cohorts[0].members, cohorts[1].members, strict=True):
        assert rough.network.weight.dtype == torch.float32
        torch.testing.assert_close(exact.network.weight, rough.network.weight, rtol=0, atol=0.02)


@pytest.mark.parametrize("name", ["mobilenet_v1_0.25", "resnet20_cifar", "torchvision/mobilenet_v3_small"])
def test_weights_cast_in_one_call_are_those_of_autocast(name):
    torch.manual_seed(0)
    network = ReIDNetwork(build_backbone(name, (32, 32)), 5, neck="bn").train()
    network.backbone.requires_grad_(True)
    next(network.parameters()).requires_grad_(False)  # a frozen one has no gradient
    networks = [network, copy.deepcopy(network)]
    images, results = torch.randn(6, 3, 32, 32), []
    for one, cast in zip(networks, (cast_weights, lambda network: nullcontext()), strict=True):
        one.dropout.generator = None
        torch.manual_seed(1)  # of torchvision's own dropout
        with cast(one), torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            logits = one(images).logits
        logits.float().square().sum().backward()
        results.append([logits, *(parameter.grad for parameter in one.parameters()), *one.state_dict().values()])
    for found, expected in zip(*results, strict=True):
        assert (found is None) == (expected is None)
        assert found is None or torch.equal(found, expected)
        assert found is None or found.dtype == expected.dtype
    assert all(isinstance(parameter, nn.Parameter) for parameter in network.parameters())
