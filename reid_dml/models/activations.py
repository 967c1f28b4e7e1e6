"""Activations that train with fewer passes over memory than torch's own, to the same numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def relu6(x: Tensor, *, training: bool) -> Tensor:
    """min(max(x, 0), 6), in place where the pass is one that learns or keeps no graph.

    torch's in-place version copies its input first, for the backward pass; where the result lies strictly between 0
    and 6 tells as much.

    Args:
        x: result of an operation that does not need it for its gradient, such as batch norm.
        training: whether the network is in training mode.
    """
    if torch.compiler.is_compiling():
        return F.relu6(x)  # fused with what is around it
    if training and torch.is_grad_enabled() and x.requires_grad:
        return _ReLU6.apply(x)
    return F.relu6(x, inplace=True)


class _ReLU6(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        F.relu6(x, inplace=True)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, result, 0.0, 6.0)
