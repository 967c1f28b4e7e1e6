"""Triplet, circle and center loss against brute force over all pairs, and what must not enter."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reid_dml.mutual.objective import build_objective
from reid_dml.mutual.terms import register_term
from reid_dml.mutual.terms.center import center_loss, move_centers
from reid_dml.mutual.terms.circle import circle_loss
from reid_dml.mutual.terms.triplet import Triplet, triplet_loss

MARGIN, SCALE = 0.25, 8.0
LOSSES = {
    "hard": lambda features, labels: triplet_loss(features, labels, margin=0.3),
    "soft": lambda features, labels: triplet_loss(features, labels, margin=None),
    "circle": lambda features, labels: circle_loss(features, labels, margin=MARGIN, scale=SCALE),
    "circle_128": circle_loss,
}


def pairs(labels, anchor):
    """Rows of the anchor's person, and of others."""
    rows = [row for row in range(len(labels)) if row != anchor and labels[row] >= 0]
    return [r for r in rows if labels[r] == labels[anchor]], [r for r in rows if labels[r] != labels[anchor]]


def brute_force(name, x, labels):
    losses = []
    for a in range(len(labels)):
        positive, negative = pairs(labels, a)
        if labels[a] < 0 or not positive or not negative:
            continue
        if name in ("hard", "soft"):
            difference = max(math.dist(x[a], x[p]) for p in positive) - min(math.dist(x[a], x[n]) for n in negative)
            losses.append(max(0.0, difference + 0.3) if name == "hard" else math.log1p(math.exp(difference)))
        else:
            unit = x / np.linalg.norm(x, axis=1, keepdims=True)
            total_p = sum(
                math.exp(-SCALE * max(0, 1 + MARGIN - unit[a] @ unit[p]) * (unit[a] @ unit[p] - 1 + MARGIN))
                for p in positive
            )
            total_n = sum(
                math.exp(SCALE * max(0, unit[a] @ unit[n] + MARGIN) * (unit[a] @ unit[n] - MARGIN)) for n in negative
            )
            losses.append(math.log1p(total_n * total_p))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("name", ["hard", "soft", "circle"])
@given(labels=st.lists(st.integers(-1, 3), min_size=1, max_size=10), seed=st.integers(0, 100))
def test_the_losses_equal_brute_force_over_all_pairs(name, labels, seed):
    x = np.random.default_rng(seed).normal(size=(len(labels), 5))
    result = LOSSES[name](torch.tensor(x), torch.tensor(labels))
    assert result.shape == ()
    assert result.item() == pytest.approx(brute_force(name, x, labels), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_match_finite_differences(name, rng):
    labels = torch.tensor([0, 0, 0, 1, 1, -1, 2])
    if name.startswith("circle"):  # its weights are constants: the gradient is not the value's derivative
        x = torch.tensor(rng.normal(size=(7, 4)), requires_grad=True)
        LOSSES["circle"](x, labels).backward()
        unit = torch.nn.functional.normalize(x.detach(), dim=1)
        alpha_p, alpha_n = 1 + MARGIN - unit @ unit.T, (unit @ unit.T + MARGIN).clamp(min=0)

        def surrogate(values):
            unit = torch.nn.functional.normalize(values, dim=1)
            s, losses = unit @ unit.T, []
            for a in range(7):
                positive, negative = pairs(labels.tolist(), a)
                if labels[a] >= 0 and positive and negative:
                    total_p = torch.exp(-SCALE * alpha_p[a, positive] * (s[a, positive] - 1 + MARGIN)).sum()
                    total_n = torch.exp(SCALE * alpha_n[a, negative] * (s[a, negative] - MARGIN)).sum()
                    losses.append(torch.log1p(total_n * total_p))
            return torch.stack(losses).mean()

        again = x.detach().clone().requires_grad_()
        surrogate(again).backward()
        torch.testing.assert_close(x.grad, again.grad)
        return
    x = torch.tensor(rng.normal(size=(7, 4)), requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: LOSSES[name](values, labels), (x,))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "labels", [[0, 0, 0, 0], [0, 1, 2, 3], [-1, -1, -1, -1], [0, -1, -1, -1]], ids=["one", "all", "none", "single"]
)
def test_without_a_valid_pair_loss_and_gradient_are_0(name, labels, rng):
    x = torch.tensor(rng.normal(size=(4, 3)).astype(np.float32), requires_grad=True)
    loss = LOSSES[name](x, torch.tensor(labels))
    loss.backward()
    assert loss.item() == 0
    assert not x.grad.any()


@pytest.mark.parametrize("name", LOSSES)
def test_equal_and_zero_features_have_a_finite_gradient(name):
    x = torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0], [0.0, 0.0], [1.0, 2.0]], requires_grad=True)
    loss = LOSSES[name](x, torch.tensor([0, 0, 1, 1, 1]))
    loss.backward()
    assert loss.isfinite()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_unlabelled_rows_do_not_enter(name, rng):
    x = torch.tensor(rng.normal(size=(8, 3)), requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, -1, 2, -1, 0])
    loss = LOSSES[name](x, labels)
    loss.backward()
    torch.testing.assert_close(loss, LOSSES[name](x[labels >= 0], labels[labels >= 0]), rtol=1e-12, atol=0)
    assert not x.grad[labels < 0].any()
    assert x.grad[labels >= 0].any()


def test_near_features_far_from_the_origin_keep_their_distance():
    # In float32, |a|^2 + |b|^2 - 2ab would be off by about 0.1 here.
    x = torch.tensor([[1000.0, 0.0], [1000.0, 0.5], [1000.0, 2.0], [1000.0, 2.5]])
    assert triplet_loss(x, torch.tensor([0, 0, 1, 1]), margin=2.0).item() == pytest.approx((1 + 0.5 + 0.5 + 1) / 4)


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_features_are_promoted(name, rng):
    x = torch.tensor(rng.normal(size=(6, 4))).bfloat16()
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    loss = LOSSES[name](x, labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, LOSSES[name](x.float(), labels))


def test_the_center_loss_is_half_the_mean_squared_distance(rng):
    x, centers = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    labels = [2, 0, -1, 2, 3]
    features = torch.tensor(x, requires_grad=True)
    loss = center_loss(features, torch.tensor(centers), torch.tensor(labels))
    rows = [0, 1, 3, 4]
    expected = np.mean([((x[row] - centers[labels[row]]) ** 2).sum() / 2 for row in rows])
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    loss.backward()
    for row in rows:  # Eq. 3, divided by the number of rows
        np.testing.assert_allclose(features.grad[row], (x[row] - centers[labels[row]]) / 4, rtol=1e-12)
    assert not features.grad[2].any()
    nothing = center_loss(features, torch.tensor(centers), torch.full((5,), -1))
    assert nothing.item() == 0


def test_centers_move_by_the_paper_s_rule(rng):
    x, before = rng.normal(size=(6, 3)), rng.normal(size=(4, 3))
    labels = np.array([2, 0, -1, 2, 3, 2])
    centers = torch.tensor(before)
    move_centers(centers, torch.tensor(x, requires_grad=True), torch.tensor(labels), 0.5)
    for person in range(4):
        own = x[labels == person]
        step = (before[person] - own).sum(0) / (1 + len(own))  # Eq. 4
        np.testing.assert_allclose(centers[person], before[person] - 0.5 * step, rtol=0, atol=1e-12)
    assert np.array_equal(centers[1], before[1])


def test_every_metric_loss_is_a_weighted_term(make_config, rng):
    from reid_dml.data.pipeline.sources import Batch
    from reid_dml.models import Output
    from reid_dml.mutual.objective import Scalars

    weights = {"TRIPLET": 0.5, "CIRCLE": 0.25, "CENTER": 0.125}
    options = [text for name, weight in weights.items() for text in (f"OBJECTIVE.{name}_WEIGHT", str(weight))]
    objective = build_objective(
        make_config(
            *options,
            "SAMPLER.NAME",
            "identity",
            "OBJECTIVE.TRIPLET_SOFT_MARGIN",
            "True",
            "OBJECTIVE.CIRCLE_SCALE",
            "16",
        ).OBJECTIVE
    )
    assert objective.names == ("identity", "mimicry", "triplet", "circle", "center")
    assert not objective.uses_features  # of peers: nothing more travels between processes
    features, labels = torch.tensor(rng.normal(size=(6, 4))), torch.tensor([0, 0, 1, 1, 2, -1])
    output = Output(torch.tensor(rng.normal(size=(6, 3))), features)
    state = objective.new_state(3, 4, "cpu")
    assert set(state) == {"center"}
    state["center"]["centers"] += torch.tensor(rng.normal(size=(3, 4)), dtype=torch.float32)
    batch = Batch(features, labels, labels, features)
    scalars = Scalars(torch.ones(1), torch.tensor(objective.weights_at(0)), torch.tensor(1.0))
    terms = objective(output, [output], batch, scalars, state)
    assert tuple(terms) == objective.names
    torch.testing.assert_close(terms["triplet"], 0.5 * triplet_loss(features, labels, margin=None))
    torch.testing.assert_close(terms["circle"], 0.25 * circle_loss(features, labels, margin=0.25, scale=16.0))
    torch.testing.assert_close(terms["center"], 0.125 * center_loss(features, state["center"]["centers"], labels))


def test_a_term_cannot_take_the_name_of_another_column_of_the_log():
    for name in ("loss", "accuracy", "learning_rate", "mimicry"):
        with pytest.raises(ValueError, match=name):
            register_term(name)(type("Other", (Triplet,), {}))
