"""Deep mutual learning as a tutorial writes it: ours is timed beside it and, in float64, tested against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def plain_step(
    networks: Sequence[nn.Module], optimizers: Sequence[torch.optim.Optimizer], *, bfloat16: bool = False
) -> Callable[[Tensor, Tensor], None]:
    """A function of images ready for the networks, and labels, that updates each of them once."""

    def step(images: Tensor, labels: Tensor) -> None:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16):
            logits = [network(images).logits for network in networks]
        if bfloat16:
            logits = [one.float() for one in logits]
        for own, optimizer in zip(logits, optimizers, strict=True):
            loss = F.cross_entropy(own, labels)
            for peer in logits:
                if peer is not own:
                    target = F.softmax(peer.detach(), dim=1)
                    divergence = F.kl_div(F.log_softmax(own, dim=1), target, reduction="batchmean")
                    loss = loss + divergence / (len(logits) - 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return step
