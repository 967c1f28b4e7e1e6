"""Update rules on linear networks, against trajectories computed by hand from the equations."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.plain_step import plain_step
from reid_dml.commands.training import build_training
from reid_dml.data.pipeline.sources import Batch
from reid_dml.data.sets import load_data
from reid_dml.models import Output
from reid_dml.mutual.cohort import Cohort, Member, frozen_statistics, update_ema
from reid_dml.mutual.losses import identity_loss, mimicry_loss
from reid_dml.mutual.objective import Scalars
from reid_dml.mutual.updates import UPDATE_RULES

N, D, C, RATE = 5, 4, 3, 0.3


class Linear(nn.Module):
    """softmax regression: logits = x W^T."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, images):
        return Output(images.flatten(1) @ self.weight.T, images.flatten(1))


class Objective:
    names, uses_peers = ("identity", "mimicry"), True

    def __call__(self, output, peers, batch, scalars, state):
        return {
            "identity": identity_loss(output.logits, batch.labels),
            "mimicry": scalars.term_weights[1] * mimicry_loss(output.logits, [peer.logits for peer in peers]),
        }

    def after_backward(self, output, peers, batch, state):
        assert not state


def make_cohort(networks):
    members = [
        Member(k, network, torch.optim.SGD(network.parameters(), lr=torch.tensor(1.0)), torch.Generator())
        for k, network in enumerate(networks)
    ]
    return Cohort(members, len(members), inputs=lambda batch: batch.images)


def scalars(size, rate=RATE):
    one = torch.tensor(1.0, dtype=torch.float64)
    return Scalars(torch.full((size,), rate, dtype=torch.float64), one.expand(2), one)


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def hand_gradient(own, x, y, peers):
    """d/dW of cross entropy + mean over peers of KL: x^T (2 p - onehot - mean peer) / N, transposed."""
    p = softmax(x @ own.T)
    return ((p - np.eye(C)[y]) + (p - np.mean(peers, 0))).T @ x / len(x)


@pytest.fixture
def problem(rng):
    weights = [rng.normal(size=(C, D)) for _ in range(3)]
    batches = [(rng.normal(size=(N, D)), rng.integers(0, C, N)) for _ in range(4)]
    return weights, batches


@pytest.mark.parametrize("rule", ["simultaneous", "sequential"])
def test_three_networks_follow_the_hand_computed_trajectory(problem, rule):
    weights, batches = problem
    cohort = make_cohort([Linear(weight) for weight in weights])
    for x, y in batches:
        batch = Batch(torch.tensor(x), torch.tensor(y), torch.zeros(N), torch.zeros(N, 1))
        UPDATE_RULES.get(rule)().step(cohort, Objective(), [batch], scalars(3))
        predictions = [softmax(x @ weight.T) for weight in weights]
        updated = list(weights)
        for k in range(3):
            peers = [predictions[j] for j in range(3) if j != k]
            updated[k] = weights[k] - RATE * hand_gradient(weights[k], x, y, peers)
            if rule == "sequential":  # Algorithm 1, lines 2 and 4
                predictions[k] = softmax(x @ updated[k].T)
        weights = updated
    for member, weight in zip(cohort.members, weights, strict=True):
        # The learning rate is kept in float32: 0.3 is off by 4e-8 of itself.
        np.testing.assert_allclose(member.network.weight.detach(), weight, rtol=0, atol=1e-6)


def test_the_two_rules_differ(problem):
    weights, ((x, y), *_) = problem
    batch = Batch(torch.tensor(x), torch.tensor(y), torch.zeros(N), torch.zeros(N, 1))
    results = []
    for rule in ("simultaneous", "sequential"):
        cohort = make_cohort([Linear(weight) for weight in weights])
        UPDATE_RULES.get(rule)().step(cohort, Objective(), [batch], scalars(3))
        results.append([member.network.weight.detach() for member in cohort.members])
    assert torch.equal(results[0][0], results[1][0])  # the first network learns from the same predictions
    assert not torch.allclose(results[0][1], results[1][1])


def test_fresh_batches_follow_the_hand_computed_trajectory(problem):
    weights, batches = problem
    cohort = make_cohort([Linear(weight) for weight in weights])
    for step in range(4):
        own = [batches[(step + k) % 4] for k in range(3)]
        tensors = [Batch(torch.tensor(x), torch.tensor(y), torch.zeros(N), torch.zeros(N, 1)) for x, y in own]
        UPDATE_RULES.get("fresh_batch")().step(cohort, Objective(), tensors, scalars(3))
        for k, (x, y) in enumerate(own):
            peers = [softmax(x @ weights[j].T) for j in range(3) if j != k]
            weights[k] = weights[k] - RATE * hand_gradient(weights[k], x, y, peers)
    assert UPDATE_RULES.get("fresh_batch")().batches_per_step(3) == 3
    for member, weight in zip(cohort.members, weights, strict=True):
        np.testing.assert_allclose(member.network.weight.detach(), weight, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rule", ["simultaneous", "sequential", "fresh_batch"])
def test_a_frozen_teacher_is_one_more_peer(problem, rule):
    weights, ((x, y), *_) = problem
    cohort = make_cohort([Linear(weights[0])])
    cohort.teachers = [Linear(weights[1]).eval().requires_grad_(False), Linear(weights[2]).eval().requires_grad_(False)]
    batch = Batch(torch.tensor(x), torch.tensor(y), torch.zeros(N), torch.zeros(N, 1))
    UPDATE_RULES.get(rule)().step(cohort, Objective(), [batch], scalars(1))
    peers = [softmax(x @ weight.T) for weight in weights[1:]]
    expected = weights[0] - RATE * hand_gradient(weights[0], x, y, peers)
    np.testing.assert_allclose(cohort.members[0].network.weight.detach(), expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(cohort.teachers[0].weight.detach(), weights[1])


class Normalised(nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.norm, self.head = nn.BatchNorm1d(D), nn.Linear(D, C)

    def forward(self, images):
        features = self.norm(images)
        return Output(self.head(features), features)


@pytest.mark.parametrize("rule", ["simultaneous", "sequential"])
def test_batch_norm_statistics_move_once_a_step(problem, rule):
    _, ((x, y), *_) = problem
    cohort = make_cohort([Normalised(k).double() for k in range(3)])
    batch = Batch(torch.tensor(x), torch.tensor(y), torch.zeros(N), torch.zeros(N, 1))
    UPDATE_RULES.get(rule)().step(cohort, Objective(), [batch], scalars(3))
    for member in cohort.members:
        norm = member.network.norm
        assert norm.num_batches_tracked == 1
        np.testing.assert_allclose(norm.running_mean, 0.1 * x.mean(0), atol=1e-12)
        np.testing.assert_allclose(norm.running_var, 0.9 + 0.1 * x.var(0, ddof=1), atol=1e-12)


def test_with_fresh_batches_statistics_follow_the_network_s_own_batch(problem):
    _, batches = problem
    cohort = make_cohort([Normalised(k).double() for k in range(3)])
    tensors = [Batch(torch.tensor(x), torch.tensor(y), torch.zeros(N), torch.zeros(N, 1)) for x, y in batches[:3]]
    UPDATE_RULES.get("fresh_batch")().step(cohort, Objective(), tensors, scalars(3))
    for member, (x, _) in zip(cohort.members, batches, strict=False):
        assert member.network.norm.num_batches_tracked == 1
        np.testing.assert_allclose(member.network.norm.running_mean, 0.1 * x.mean(0), atol=1e-12)


def test_sequential_updates_take_k_minus_1_extra_passes(problem):
    weights, ((x, y), *_) = problem
    cohort = make_cohort([Linear(weight) for weight in weights])
    passes = []
    for member in cohort.members:
        member.network.register_forward_hook(lambda *_, index=member.index: passes.append(index))
    batch = Batch(torch.tensor(x), torch.tensor(y), torch.zeros(N), torch.zeros(N, 1))
    UPDATE_RULES.get("sequential")().step(cohort, Objective(), [batch], scalars(3))
    assert passes == [0, 1, 2, 0, 1]


@pytest.mark.parametrize(("rule", "batches"), [("simultaneous", 1), ("sequential", 1), ("sequential", 2),
                                               ("fresh_batch", 3)])  # fmt: skip
def test_networks_that_learn_alone_predict_each_batch_once(problem, rule, batches):
    class Alone(Objective):
        names, uses_peers = ("identity",), False

        def __call__(self, output, peers, batch, scalars, state):
            assert not peers
            return {"identity": identity_loss(output.logits, batch.labels)}

    weights, data = problem
    cohort, passes = make_cohort([Linear(weight) for weight in weights]), []
    for member in cohort.members:
        member.network.register_forward_hook(lambda *_, index=member.index: passes.append(index))
    given = [Batch(torch.tensor(x), torch.tensor(y), torch.zeros(N), torch.zeros(N, 1)) for x, y in data[:batches]]
    UPDATE_RULES.get(rule)().step(cohort, Alone(), given, scalars(3))
    assert len(passes) == (3 if rule == "fresh_batch" else 3 * batches)


def test_the_report_names_terms_loss_and_accuracy(problem):
    weights, ((x, y), *_) = problem
    y = y.copy()
    y[0] = -1
    cohort = make_cohort([Linear(weight) for weight in weights])
    batch = Batch(torch.tensor(x), torch.tensor(y), torch.zeros(N), torch.zeros(N, 1))
    report = UPDATE_RULES.get("simultaneous")().step(cohort, Objective(), [batch], scalars(3))
    assert report.shape == (3, 4)
    torch.testing.assert_close(report[:, 0] + report[:, 1], report[:, 2])
    for row, weight in zip(report, weights, strict=True):
        hits = (x @ weight.T).argmax(1)[1:] == y[1:]
        assert row[3].item() == pytest.approx(hits.mean())


def test_extra_passes_leave_no_trace():
    from reid_dml.models.reid_network import Dropout

    generator = torch.Generator().manual_seed(1)
    network = nn.Sequential(nn.BatchNorm1d(D), Dropout(0.5)).train()
    network[1].generator = generator
    member = Member(0, network, None, generator)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = generator.get_state()
    with frozen_statistics(member):
        first = network(torch.ones(8, D) * torch.arange(8)[:, None])
    assert first.count_nonzero() > 0
    assert torch.equal(generator.get_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_weight_average_covers_parameters_and_statistics():
    torch.manual_seed(0)
    average, network = Normalised(1).double(), Normalised(2).double()
    network.norm.running_mean.fill_(3.0)
    network.norm.num_batches_tracked.fill_(7)
    before = {name: value.clone() for name, value in average.state_dict().items()}
    update_ema(average, network, torch.tensor(0.9, dtype=torch.float64))
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            expected = 0.9 * before[name] + 0.1 * network.state_dict()[name]
            torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    assert average.norm.num_batches_tracked == 7


@pytest.mark.parametrize("size", [2, 3])
def test_simultaneous_updates_are_mutual_learning_as_a_tutorial_writes_it(make_config, size):
    """Convolutional networks with batch norm, in float64: many steps without rounding that would hide anything."""
    cfg = make_config(
        "COHORT.NETWORKS", str(["resnet20_cifar"] * size), "INPUT.SIZE", "[32, 32]", "INPUT.PAD", "4", "COHORT.LR",
        "0.125", "OPTIM.NAME", "sgd", "OPTIM.WEIGHT_DECAY", "5e-4", "OPTIM.DECAY_NORM", "True", "MODEL.DROPOUT", "0",
        "OBJECTIVE.LABEL_SMOOTHING", "0", "EMA.ENABLED", "False", "SCHEDULE.NAME", "constant",
        "SCHEDULE.WARMUP_STEPS", "0",
    )  # fmt: skip
    training = build_training(cfg, load_data(cfg), "cpu")
    cohort = training.cohort
    for member in cohort.members:
        member.network.double()
    inputs = cohort.inputs
    cohort.inputs = lambda batch: inputs(batch).double()
    networks = [copy.deepcopy(member.network) for member in cohort.members]
    sgd = partial(torch.optim.SGD, lr=0.125, momentum=0.9, nesterov=True, weight_decay=5e-4)
    step = plain_step(networks, [sgd(network.parameters()) for network in networks])
    for number in range(12):
        (batch,) = training.batches(number)
        training.run_step(number)
        step(cohort.inputs(batch), batch.labels)
    for member, network in zip(cohort.members, networks, strict=True):
        for name, value in network.state_dict().items():
            torch.testing.assert_close(member.network.state_dict()[name], value, rtol=1e-8, atol=1e-10)
