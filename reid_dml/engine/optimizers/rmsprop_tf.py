"""TensorFlow's RMSprop, the ImageNet recipe's: the learning rate lies inside the momentum."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reid_dml.engine.optimizers import Optimizer, register_optimizer
from reid_dml.errors import UserError
from reid_dml.options import option


@register_optimizer("rmsprop_tf")
@dataclass(frozen=True)
class RMSpropTF(Optimizer):
    """timm's, whose mean square starts at 1 and whose eps lies inside the root."""

    alpha: float = option(0.9, "decay of the mean square", least=0, most=1)
    eps: float = option(1e-8, "inside the root of the mean square", above=0)
    momentum: float = option(0.9, "share of the last update that goes on", least=0)

    def build(self, groups: list[dict[str, Any]], new_rate: Callable[[], Tensor]) -> torch.optim.Optimizer:
        from timm import __version__
        from timm.optim import RMSpropTF as Timm  # takes seconds to import: only where it is needed

        if "foreach" not in inspect.signature(Timm).parameters:
            raise UserError(f"OPTIM.NAME: rmsprop_tf needs timm 1.0.31, this is {__version__}; run pip install -U timm")
        # It takes the rate from the groups, tensors too; `foreach`, because tensors would make it go one by one.
        return Timm(groups, alpha=self.alpha, eps=self.eps, momentum=self.momentum, foreach=True)
