"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from yacs.config import CfgNode

from reid_dml.engine.optimizers import Optimizer, register_optimizer
from reid_dml.options import Refuse, option


@register_optimizer("sgd")
@dataclass(frozen=True)
class SGD(Optimizer):
    """torch's SGD by its fused kernels."""

    momentum: float = option(0.9, "share of the last update that goes on", least=0)
    nesterov: bool = option(True, "Nesterov's momentum")

    def build(self, groups: list[dict[str, Any]], new_rate: Callable[[], Tensor]) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=new_rate(), momentum=self.momentum, nesterov=self.nesterov, fused=True)

    def check(self, cfg: CfgNode, refuse: Refuse) -> None:
        if self.nesterov and self.momentum <= 0:
            refuse("OPTIM.NESTEROV", "needs OPTIM.MOMENTUM greater than 0")
