"""Every loss against its definition, in float64 to 1e-10, values and gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from reid_dml.mutual.losses import (
    ensemble_log_probs,
    identity_loss,
    mutual_losses,
    student_loss,
)
from reid_dml.mutual.terms.entropy import confidence_penalty
from reid_dml.mutual.terms.feature_l2 import feature_distance

N, C, K = 6, 7, 4
TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def kl(p, q):
    return float((p * (np.log(p) - np.log(q))).sum(1).mean())


@pytest.fixture
def logits(rng):
    return [torch.tensor(3 * rng.normal(size=(N, C)), requires_grad=True) for _ in range(K)]


@pytest.fixture
def labels(rng):
    return torch.tensor(rng.integers(0, C, N))


def brute_force(z, peers, labels, strategy, reduction, ensemble, temperature, weight, smoothing, labelled):
    """The student's loss by the formulas of the paper, in NumPy."""
    z, peers = z.detach().numpy(), [peer.detach().numpy() for peer in peers]
    p = softmax(z)
    target = np.eye(C)[labels.clamp(min=0).numpy()] * (1 - smoothing) + smoothing / C
    rows = labelled.numpy() if labelled is not None else labels.numpy() >= 0
    ce = float(-(target * np.log(p)).sum(1)[rows].sum() / max(rows.sum(), 1))
    if strategy == "independent":
        return ce
    student, teachers = softmax(z / temperature), [softmax(peer / temperature) for peer in peers]
    if strategy == "dml_e":
        teacher = np.mean(teachers, 0) if ensemble == "probs" else softmax(np.mean(peers, 0) / temperature)
        mimicry = kl(teacher, student)
    else:
        each = [kl(t, student) if strategy == "dml" else (kl(t, student) + kl(student, t)) / 2 for t in teachers]
        mimicry = sum(each) / (len(each) if reduction == "mean" else 1)
    return ce + weight * temperature**2 * mimicry


OPTIONS = [
    ("independent", "mean", "probs"),
    ("dml", "mean", "probs"),
    ("dml", "sum", "probs"),
    ("dml_e", "mean", "probs"),
    ("dml_e", "mean", "logits"),
    ("symmetric_kl", "mean", "probs"),
    ("symmetric_kl", "sum", "probs"),
]


@pytest.mark.parametrize(("strategy", "reduction", "ensemble"), OPTIONS)
@pytest.mark.parametrize(("temperature", "weight", "smoothing"), [(1.0, 1.0, 0.0), (2.5, 0.7, 0.1)])
def test_values_match_the_formulas(logits, labels, strategy, reduction, ensemble, temperature, weight, smoothing):
    options = {"strategy": strategy, "peer_reduction": reduction, "ensemble": ensemble, "temperature": temperature}
    found = mutual_losses(logits, labels, weight=weight, label_smoothing=smoothing, **options)
    for k in range(K):
        peers = logits[:k] + logits[k + 1 :]
        expected = brute_force(
            logits[k], peers, labels, strategy, reduction, ensemble, temperature, weight, smoothing, None
        )
        assert found[k].item() == pytest.approx(expected, abs=1e-10)
        assert found[k].dtype == torch.float64


@pytest.mark.parametrize(("strategy", "reduction", "ensemble"), OPTIONS)
def test_gradients_match_finite_differences_and_spare_the_peers(logits, labels, strategy, reduction, ensemble):
    def loss(own):
        return student_loss(
            own, logits[1:], labels, strategy=strategy, peer_reduction=reduction, ensemble=ensemble, temperature=1.5,
            label_smoothing=0.1,
        )  # fmt: skip

    assert torch.autograd.gradcheck(loss, (logits[0],))
    loss(logits[0]).backward()
    assert all(peer.grad is None for peer in logits[1:])


def test_dml_s_gradient_is_the_student_minus_the_mean_peer(logits, labels):
    no_labels = torch.full_like(labels, -1)
    student_loss(logits[0], logits[1:], no_labels, strategy="dml").backward()
    posteriors = [torch.softmax(z.detach(), 1) for z in logits]
    torch.testing.assert_close(logits[0].grad, (posteriors[0] - sum(posteriors[1:]) / (K - 1)) / N, **TIGHT)


def test_dml_and_dml_e_have_equal_gradients(logits, labels):
    gradients = []
    for strategy in ("dml", "dml_e"):
        (gradient,) = torch.autograd.grad(student_loss(logits[0], logits[1:], labels, strategy=strategy), logits[0])
        gradients.append(gradient)
    torch.testing.assert_close(*gradients, **TIGHT)


def test_the_temperature_s_square_keeps_the_gradient_s_size():
    torch.manual_seed(0)
    own, peer = (torch.randn(N, C, dtype=torch.float64) * 1e-3 for _ in range(2))
    sizes = []
    for temperature in (1.0, 10.0):
        z = own.clone().requires_grad_()
        student_loss(z, [peer], torch.full((N,), -1), temperature=temperature).backward()
        sizes.append(z.grad.norm().item())
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-2)


def test_unlabelled_rows_count_for_mimicry_only(logits, labels):
    labelled = torch.tensor([True, False] * (N // 2))
    expected = brute_force(logits[0], logits[1:], labels, "dml", "mean", "probs", 1.0, 1.0, 0.0, labelled)
    assert student_loss(logits[0], logits[1:], labels, labelled=labelled).item() == pytest.approx(expected, abs=1e-10)
    marked = labels.masked_fill(~labelled, -1)
    assert student_loss(logits[0], logits[1:], marked).item() == pytest.approx(expected, abs=1e-10)


def test_a_batch_without_labels_has_no_identity_loss(logits):
    loss = identity_loss(logits[0], torch.full((N,), -1), label_smoothing=0.1)
    assert loss.item() == 0
    loss.backward()
    assert not logits[0].grad.any()


@pytest.mark.parametrize("strategy", ["dml", "dml_e", "symmetric_kl"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_extreme_logits_are_exact(strategy, dtype):
    own = torch.tensor([[80.0, -80.0], [0.0, 0.0]], dtype=dtype, requires_grad=True)
    peer = torch.tensor([[-80.0, 80.0], [0.0, 0.0]], dtype=dtype)
    loss = student_loss(own, [peer], torch.tensor([0, 1]), strategy=strategy)
    # Row 0: KL is 160 in either direction; row 1: none. Identity loss: 0 and log 2.
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx((160 + math.log(2)) / 2, rel=1e-6)
    loss.backward()
    assert torch.isfinite(own.grad).all()


def test_the_weight_may_be_a_tensor(logits, labels):
    number = student_loss(logits[0], logits[1:], labels, weight=0.3)
    tensor = student_loss(logits[0], logits[1:], labels, weight=torch.tensor(0.3, dtype=torch.float64))
    torch.testing.assert_close(number, tensor, **TIGHT)


def test_averaged_probabilities_are_never_sharper_than_their_members(logits):
    def entropy(log_probs):
        return -(log_probs.exp() * log_probs).sum(1)

    members = torch.stack([entropy(torch.log_softmax(z, 1)) for z in logits]).mean(0)
    assert (entropy(ensemble_log_probs(logits)) >= members - 1e-12).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"strategy": "kl"}, "strategy: 'kl' is not one of"),
        ({"peer_reduction": "max"}, "peer_reduction: 'max'"),
        ({"ensemble": "votes"}, "ensemble: 'votes'"),
        ({"temperature": 0.0}, "temperature"),
        ({"peers": []}, "needs at least one peer"),
        ({"peers": [torch.zeros(N, C + 1)]}, "need the same classes"),
        ({"labels": torch.zeros(N + 1, dtype=torch.int64)}, "labels \\(N,\\) expected"),
    ],
)
def test_wrong_arguments_are_refused(logits, labels, change, words):
    arguments = {"logits": logits[0], "peers": logits[1:], "labels": labels, **change}
    with pytest.raises(ValueError, match=words):
        student_loss(**arguments)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"logits": [[1.0, 2.0]]}, "logits: list where a tensor is expected"),
        ({"logits": torch.ones(2, 3, dtype=torch.int64)}, "logits: torch.int64 where floating-point"),
        ({"peers": [np.ones((2, 3))]}, "peers: ndarray where a tensor is expected"),
        ({"labels": [0, 1]}, "labels: list where a tensor is expected"),
        ({"labels": torch.tensor([0.0, 1.0])}, "labels: torch.float32 where int64 is expected"),
    ],
)
def test_what_is_no_tensor_of_its_kind_is_named(change, words):
    given = {"logits": torch.zeros(2, 3), "peers": [torch.zeros(2, 3)], "labels": torch.tensor([0, 1])} | change
    with pytest.raises(ValueError, match=words):
        student_loss(**given)


def test_the_confidence_penalty_is_minus_the_entropy(logits):
    p = softmax(logits[0].detach().numpy())
    assert confidence_penalty(logits[0]).item() == pytest.approx((p * np.log(p)).sum(1).mean(), abs=1e-10)
    assert torch.autograd.gradcheck(confidence_penalty, (logits[0],))
    assert confidence_penalty(torch.zeros(2, C)).item() == pytest.approx(-math.log(C))
    assert confidence_penalty(torch.tensor([[80.0, -80.0]])).item() == pytest.approx(0, abs=1e-6)


def test_the_distance_of_features_matches_its_formula(rng):
    own, *peers = (torch.tensor(rng.normal(size=(N, 5)), requires_grad=True) for _ in range(3))
    expected = np.mean([((own - peer).detach().numpy() ** 2).sum(1).mean() for peer in peers])
    loss = feature_distance(own, peers)
    assert loss.item() == pytest.approx(expected, abs=1e-10)
    loss.backward()
    gradient = 2 * (own - (peers[0] + peers[1]) / 2).detach() / N
    torch.testing.assert_close(own.grad, gradient, **TIGHT)
    assert peers[0].grad is None
    with pytest.raises(ValueError, match="features of one width"):
        feature_distance(own, [torch.zeros(N, 6)])
    with pytest.raises(ValueError, match="at least one peer"):
        feature_distance(own, [])
