"""How wide a minimum is: the rise of the loss under Gaussian noise on the weights (CVPR, Fig. 4b)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reid_dml.reporting.figures import draw_panels


def loss_rises(
    network: nn.Module,
    loss: Callable[[], float],
    sigmas: Sequence[float],
    *,
    draws: int = 10,
    relative: bool = False,
    seed: int = 0,
    recompute: Callable[[], object] | None = None,
) -> np.ndarray:
    """loss(w + noise) - loss(w), the noise N(0, σ²) on every parameter; weights and buffers come back bit for bit.

    Draw d has the same standard normal numbers under every σ, and for every network of the same shapes.

    Args:
        network: whose parameters are moved.
        loss: of the network as it is, without a random number of its own.
        sigmas: standard deviations.
        draws: of the noise.
        relative: σ is in units of each tensor's root mean square.
        seed: of the draws.
        recompute: called after the noise, to bring batch-norm statistics up to date; the loss without noise is then
            also that after `recompute`. None: the statistics of training are kept.

    Returns:
        (len(sigmas), draws) float64.
    """
    rises = np.empty((len(sigmas), draws))
    with _restored(network), torch.no_grad():
        if recompute:
            recompute()
        base = loss()
        weights = [(parameter, parameter.detach().clone()) for parameter in network.parameters()]
        scales = [float(own.double().square().mean().sqrt()) if relative else 1.0 for _, own in weights]
        for draw in range(draws):
            generator = torch.Generator().manual_seed(seed * 1_000_003 + draw)
            noise = [torch.randn(own.shape, generator=generator).to(own) for _, own in weights]
            for row, sigma in enumerate(sigmas):
                for (parameter, own), scale, one in zip(weights, scales, noise, strict=True):
                    parameter.copy_(own + sigma * scale * one)
                if recompute:
                    recompute()
                rises[row, draw] = loss() - base
    return rises


@contextmanager
def _restored(network: nn.Module) -> Iterator[None]:
    before = {name: value.detach().clone() for name, value in network.state_dict().items()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in network.state_dict().items():
                value.copy_(before[name])


def recompute_batch_norm(network: nn.Module, batches: Sequence[Tensor]) -> None:
    """Batch-norm statistics as the mean over batches of inputs, by their sizes; all else stays in evaluation mode."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    modes, momenta = [(module, module.training) for module in network.modules()], [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    try:
        with torch.no_grad():
            seen = 0
            for batch in batches:
                seen += len(batch)
                for norm in norms:
                    norm.momentum = len(batch) / seen  # so that every image weighs alike
                network(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, training in modes:
            module.training = training


def draw_flatness(sigmas: Sequence[float], rises: Mapping[str, np.ndarray], *, relative: bool) -> str:
    """Mean rise over σ with the sd over draws as a band, a curve a network, as SVG.

    Args:
        sigmas: of the noise.
        rises: (sigmas, draws) by network.
        relative: whether σ is in units of each tensor's root mean square.
    """
    title, styles = "Rise of the training loss under noise", ("-", "--", ":", "-.")

    def draw(panels: Sequence[Any]) -> None:
        axes = panels[0]
        for number, (label, found) in enumerate(rises.items()):
            mean, sd = found.mean(1), found.std(1, ddof=1) if found.shape[1] > 1 else 0 * found.mean(1)
            (line,) = axes.plot(sigmas, mean, styles[number % 4], marker="o", markersize=3, label=label)
            axes.fill_between(sigmas, mean - sd, mean + sd, alpha=0.2, color=line.get_color(), linewidth=0)
        unit = "σ / root mean square of each tensor" if relative else "σ"
        axes.set(title=title, xlabel=unit, ylabel="rise of the loss (nats)")
        axes.legend()

    return draw_panels(draw, title, size=(4.6, 3.2))
