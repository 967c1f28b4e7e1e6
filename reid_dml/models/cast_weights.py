"""A network's weights in bfloat16, all of them cast in one call instead of each where it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from reid_dml.models.mobilenet_v1 import Conv2dSame

_FORWARDS = {nn.Conv2d.forward, nn.Linear.forward, Conv2dSame.forward}  # torch's autocast casts what these multiply


@contextmanager
def cast_weights(network: nn.Module) -> Iterator[None]:
    """While it lasts, convolutions and linear layers have their weights in bfloat16, as autocast would give them.

    Gradients reach the float32 weights, cast back in one call too. Modules that do more with their weights than
    multiply are left to autocast.

    Args:
        network: in float32, without `recompute`: its second pass comes when this has ended.
    """
    places = [
        (module, name)
        for module in network.modules()
        if type(module).forward in _FORWARDS
        for name, weight in module._parameters.items()
        if weight is not None and weight.requires_grad and weight.dtype == torch.float32
    ]
    if not places:
        yield
        return
    originals = [module._parameters[name] for module, name in places]
    copies = _Cast.apply(*originals)
    try:
        for (module, name), copy in zip(places, copies, strict=True):
            module._parameters[name] = copy
        yield
    finally:
        for (module, name), original in zip(places, originals, strict=True):
            module._parameters[name] = original


class _Cast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)  # a weight that nothing was computed from has no gradient
        copies = [torch.empty_like(weight, dtype=torch.bfloat16) for weight in weights]
        torch._foreach_copy_(copies, list(weights))
        return tuple(copies)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        found = [gradient for gradient in gradients if gradient is not None]
        results = [torch.empty_like(gradient, dtype=torch.float32) for gradient in found]
        if found:
            torch._foreach_copy_(results, found)
        remaining = iter(results)
        return tuple(None if gradient is None else next(remaining) for gradient in gradients)
