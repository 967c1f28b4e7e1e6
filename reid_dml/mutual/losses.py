"""The losses of deep mutual learning (Zhang, Xiang, Hospedales, Lu; CVPR 2018): pure functions of tensors.

All are computed in log space in at least float32, summed over classes and averaged over samples. Peers are
constants: no gradient reaches them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Strategy = Literal["independent", "dml", "dml_e", "symmetric_kl"]
STRATEGIES = ("independent", "dml", "dml_e", "symmetric_kl")
PeerReduction = Literal["mean", "sum"]
EnsembleAverage = Literal["probs", "logits"]


def identity_loss(
    logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, count: Tensor | None = None
) -> Tensor:
    """Cross entropy over the labelled rows, Eq. (2) of the paper divided by their number.

    Args:
        logits: (N, C).
        labels: (N,) int64; rows labelled -1 do not count.
        label_smoothing: eps; the target is (1 - eps) on the true class plus eps/C on every class.
        count: 0-d, divides the sum instead of the number of labelled rows.

    Returns:
        0-d tensor, nats; exactly 0 where no row is labelled.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits (N, C) and labels (N,) expected, got {tuple(logits.shape)} and {tuple(labels.shape)}")
    count = (labels >= 0).sum().clamp(min=1) if count is None else count
    total = F.cross_entropy(promote(logits), labels, ignore_index=-1, reduction="sum", label_smoothing=label_smoothing)
    return total / count


def kl_divergence(teacher_log_probs: Tensor, log_probs: Tensor) -> Tensor:
    """D_KL(teacher || student), Eq. (4): summed over classes, averaged over rows. Both (N, C) log-probabilities."""
    return F.kl_div(log_probs, teacher_log_probs, log_target=True, reduction="batchmean")


def ensemble_log_probs(
    peers: Sequence[Tensor], *, average: EnsembleAverage = "probs", temperature: float = 1.0
) -> Tensor:
    """Log-posterior of several networks as one teacher, Eq. (11).

    Args:
        peers: list of (N, C) logits.
        average: `probs` averages the posteriors (the paper; the average is never sharper than its members), `logits`
            averages before the softmax (it can be sharper).
        temperature: divides the logits first.

    Returns:
        (N, C) log-probabilities.
    """
    stacked = torch.stack([promote(peer) for peer in peers]) / temperature
    if average == "logits":
        return F.log_softmax(stacked.mean(0), dim=1)
    return torch.logsumexp(F.log_softmax(stacked, dim=2), dim=0) - math.log(len(peers))


def mimicry_loss(
    logits: Tensor,
    peers: Sequence[Tensor],
    *,
    strategy: Strategy = "dml",
    peer_reduction: PeerReduction = "mean",
    ensemble: EnsembleAverage = "probs",
    temperature: float = 1.0,
) -> Tensor:
    """How far a student's posterior is from its peers', over all rows, labelled or not.

    With s = log_softmax(logits / T) and p_l the peers' posteriors at temperature T, times T^2:

    - `dml`, Eq. (10): mean (or sum: the authors' code) over the peers of D_KL(p_l || s)
    - `dml_e`, Eq. (11): D_KL(average of the peers || s)
    - `symmetric_kl`, Eq. (7): mean (or sum) over the peers of (D_KL(p_l || s) + D_KL(s || p_l)) / 2; the paper calls
      it Jensen-Shannon, as printed it is half the Jeffreys divergence

    With `mean` and probability averaging, dml and dml_e differ by a constant: their gradients are equal.

    Args:
        logits: (N, C) of the student.
        peers: list of (N, C) logits; always constants.
        strategy: which of these divergences.
        peer_reduction: `mean` or `sum` over the peers.
        ensemble: what `dml_e` averages, see `ensemble_log_probs`.
        temperature: T, by which logits are divided.

    Returns:
        0-d tensor, nats.
    """
    _check_mimicry(logits, peers, strategy, peer_reduction, ensemble, temperature)
    student = F.log_softmax(promote(logits) / temperature, dim=1)
    peers = [promote(peer.detach()) for peer in peers]
    if strategy == "dml_e":
        return (
            kl_divergence(ensemble_log_probs(peers, average=ensemble, temperature=temperature), student)
            * temperature**2
        )
    divergences = []
    for peer in peers:
        teacher = F.log_softmax(peer / temperature, dim=1)
        divergence = kl_divergence(teacher, student)
        if strategy == "symmetric_kl":
            divergence = (divergence + kl_divergence(student, teacher)) / 2
        divergences.append(divergence)
    total = torch.stack(divergences).sum() * temperature**2
    return total / len(peers) if peer_reduction == "mean" else total


def student_loss(
    logits: Tensor,
    peers: Sequence[Tensor],
    labels: Tensor,
    *,
    strategy: Strategy = "dml",
    peer_reduction: PeerReduction = "mean",
    ensemble: EnsembleAverage = "probs",
    temperature: float = 1.0,
    weight: float | Tensor = 1.0,
    label_smoothing: float = 0.0,
    labelled: Tensor | None = None,
) -> Tensor:
    """The loss of one network: identity loss plus weighted mimicry of whoever teaches, Eq. (10) by default.

    Args:
        logits: (N, C) of the network that learns.
        peers: list of (N, C) logits of its teachers (cohort, other ranks, frozen networks); always constants.
        labels: (N,) int64 class rows; -1 = unlabelled.
        strategy, peer_reduction, ensemble, temperature: see `mimicry_loss`; `independent` ignores the peers.
        weight: of the mimicry term; may be a 0-d tensor.
        label_smoothing: see `identity_loss`.
        labelled: (N,) bool, rows whose label may be used; None: all with a label >= 0.

    Returns:
        0-d tensor of at least float32, nats.

    Raises:
        ValueError: unknown option, no peers, what is no tensor of its kind, or shapes that do not agree.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy: {strategy!r} is not one of {', '.join(STRATEGIES)}")
    _check_tensors(logits, peers, labels)
    if labelled is not None:
        labels = labels.masked_fill(~labelled, -1)
    loss = identity_loss(logits, labels, label_smoothing=label_smoothing)
    if strategy == "independent":
        return loss
    divergence = mimicry_loss(
        logits, peers, strategy=strategy, peer_reduction=peer_reduction, ensemble=ensemble, temperature=temperature
    )
    return loss + weight * divergence


def mutual_losses(logits: Sequence[Tensor], labels: Tensor, **options) -> list[Tensor]:
    """`student_loss` of each of K networks with the others as peers.

    Args:
        logits: K tensors (N, C).
        labels: (N,) int64.
        options: keyword arguments of `student_loss`.

    Returns:
        K 0-d tensors.
    """
    return [student_loss(own, [*logits[:k], *logits[k + 1 :]], labels, **options) for k, own in enumerate(logits)]


def promote(tensor: Tensor) -> Tensor:
    """At least float32: half precision is too coarse for sums over hundreds of classes."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _check_tensors(logits: Tensor, peers: Sequence[Tensor], labels: Tensor) -> None:
    for name, value in (("logits", logits), ("labels", labels), *(("peers", peer) for peer in peers)):
        if not isinstance(value, Tensor):
            raise ValueError(f"{name}: {type(value).__name__} where a tensor is expected")
        if name != "labels" and not value.is_floating_point():
            raise ValueError(f"{name}: {value.dtype} where floating-point numbers are expected")
    if labels.dtype != torch.int64:
        raise ValueError(f"labels: {labels.dtype} where int64 is expected")


def _check_mimicry(
    logits: Tensor, peers: Sequence[Tensor], strategy: str, reduction: str, ensemble: str, temperature: float
) -> None:
    for name, value, choices in (
        ("strategy", strategy, STRATEGIES[1:]),
        ("peer_reduction", reduction, ("mean", "sum")),
        ("ensemble", ensemble, ("probs", "logits")),
    ):
        if value not in choices:
            raise ValueError(f"{name}: {value!r} is not one of {', '.join(choices)}")
    if temperature <= 0:
        raise ValueError(f"temperature: {temperature} must be greater than 0")
    if not len(peers):
        raise ValueError(f"strategy {strategy!r} needs at least one peer")
    for peer in peers:
        if peer.shape != logits.shape:
            raise ValueError(
                f"a peer's logits are {tuple(peer.shape)}, the student's {tuple(logits.shape)}; "
                "all networks of a cohort need the same classes"
            )
