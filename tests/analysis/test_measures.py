"""Posterior, flatness and similarity against closed forms and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from reid_dml import FeatureSet
from reid_dml.analysis.flatness import draw_flatness, loss_rises, recompute_batch_norm
from reid_dml.analysis.posterior import draw_posterior
from reid_dml.analysis.similarity import disagreement, linear_cka, overlap_at_k
from reid_dml.classification.posterior import posterior_columns
from reid_dml.ranking.ranked_rows import ranked_rows


def test_the_true_class_is_first_and_the_others_are_ranked():
    probs = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4]])
    found = posterior_columns(probs.log(), torch.tensor([0, 3, -1]), top=3)
    assert torch.allclose(found[0, :3], torch.tensor([0.1, 0.4, 0.3]))
    assert torch.allclose(found[1], torch.tensor([0.25, 0.25, 0.25, math.log(4)]))
    assert torch.allclose(found[2, :3], torch.tensor([0.4, 0.3, 0.2]))
    assert found[0, 3].item() == pytest.approx(-sum(p * math.log(p) for p in (0.1, 0.2, 0.3, 0.4)))
    certain = posterior_columns(torch.tensor([[0.0, 2000.0]]), torch.tensor([1]))
    assert certain.tolist() == [[1, 0, 0]]
    assert "<svg" in draw_posterior({"a": [0.7, 0.2]}, "train")


def test_the_rise_of_a_quadratic_is_the_closed_form_and_weights_come_back():
    network = nn.Linear(40, 50, bias=False).double()
    before = network.weight.detach().clone()
    found = loss_rises(network, lambda: float(network.weight.square().sum()), [0.1, 0.2], draws=200)
    # E|w + σz|² - |w|² = σ² n; the mixed term has mean 0 and sd 2σ|w| / sqrt(draws)
    for row, sigma in enumerate((0.1, 0.2)):
        tolerance = 5 * 2 * sigma * float(before.norm()) / math.sqrt(200) + 5 * sigma**2 * math.sqrt(2 * 2000 / 200)
        assert found[row].mean() == pytest.approx(2000 * sigma**2, abs=tolerance)
    assert torch.equal(network.weight, before)
    scaled = loss_rises(network, lambda: float(network.weight.square().sum()), [0.1], draws=3, relative=True)
    rms = float(before.square().mean().sqrt())
    plain = loss_rises(network, lambda: float(network.weight.square().sum()), [0.1 * rms], draws=3)
    assert np.allclose(scaled, plain)
    assert "<svg" in draw_flatness([0.1, 0.2], {"a": found}, relative=False)


def test_weights_and_statistics_come_back_after_an_error_too():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    losses = iter([1.0])
    with pytest.raises(StopIteration):
        loss_rises(
            network, lambda: next(losses), [0.5], recompute=lambda: recompute_batch_norm(network, [torch.rand(9, 3)])
        )
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_recomputed_statistics_are_those_of_the_inputs():
    norm = nn.BatchNorm1d(3).eval()
    batches = [torch.randn(8, 3) + 4, torch.randn(8, 3)]
    recompute_batch_norm(norm, batches)
    assert torch.allclose(norm.running_mean, torch.stack([batch.mean(0) for batch in batches]).mean(0), atol=1e-6)
    assert torch.allclose(norm.running_var, torch.stack([batch.var(0) for batch in batches]).mean(0), atol=1e-6)
    assert norm.momentum == 0.1
    assert not norm.training


def test_every_image_weighs_alike_in_recomputed_statistics():
    norm = nn.BatchNorm1d(3).eval()
    batches = [torch.randn(9, 3) + 4, torch.randn(3, 3), torch.randn(2, 3) - 4]
    recompute_batch_norm(norm, batches)
    assert torch.allclose(norm.running_mean, torch.cat(batches).mean(0), atol=1e-6)
    variance = sum(len(batch) * batch.var(0) for batch in batches) / 14
    assert torch.allclose(norm.running_var, variance, atol=1e-6)


def test_cka_knows_turns_and_multiples_and_tells_independent_features(rng):
    x, y = rng.standard_normal((500, 6)), rng.standard_normal((500, 4))
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    assert linear_cka(x, 3 * x @ turn + 5) == pytest.approx(1)
    assert linear_cka(x, y) == pytest.approx(linear_cka(y, x))
    assert linear_cka(x, y) < 0.05
    centre = np.eye(500) - 1 / 500
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    hsic = np.trace(k @ m) / math.sqrt(np.trace(k @ k) * np.trace(m @ m))
    assert linear_cka(x, y) == pytest.approx(hsic)
    assert math.isnan(linear_cka(x, np.ones((500, 2))))


@pytest.mark.parametrize("outfits", [0, 2])
def test_lists_follow_the_protocol_and_overlap_is_that_of_sets(rng, outfits):
    def features(count):
        ids, cameras = rng.integers(-1, 4, count), rng.integers(1, 3, count)
        clothes = rng.integers(0, outfits + 1, count)
        vectors = rng.standard_normal((count, 5)).astype(np.float32)
        return FeatureSet(vectors, ids, cameras, np.arange(count), clothes=clothes)

    query, gallery = features(7), features(30)
    other = gallery.with_features(rng.standard_normal((30, 5)).astype(np.float32))
    first, second = ranked_rows(query, gallery, 6)[1], ranked_rows(query, other, 6)[1]
    for row in range(7):
        counted = [
            g for g in range(30)
            if gallery.person_ids[g] >= 0
            and not (gallery.person_ids[g] == query.person_ids[row] and (
                query.person_ids[row] <= 0 or gallery.camera_ids[g] == query.camera_ids[row]
                or gallery.clothes[g] == query.clothes[row] != 0))
        ]  # fmt: skip
        cosine = [
            -float(query.features[row] @ gallery.features[g] / np.linalg.norm(gallery.features[g])) for g in counted
        ]
        assert first[row].tolist() == [counted[place] for place in np.argsort(cosine)[:6]]
    brute = np.mean([len(set(a) & set(b)) / 6 for a, b in zip(first.tolist(), second.tolist(), strict=True)])
    assert overlap_at_k(first, second, 6) == pytest.approx(brute)
    assert overlap_at_k(first, first, 3) == 1


def test_disagreement_is_the_share_of_different_predictions():
    assert disagreement(np.eye(4), np.eye(4)[[0, 1, 3, 2]]) == 0.5
