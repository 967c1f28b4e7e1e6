"""Adam, and AdamW, whose weight decay does not pass through the moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from reid_dml.engine.optimizers import Optimizer, register_optimizer
from reid_dml.options import option


@register_optimizer("adam")
@dataclass(frozen=True)
class Adam(Optimizer):
    """Kingma and Ba, 2015, by torch's fused kernels."""

    kind: ClassVar[type[torch.optim.Adam]] = torch.optim.Adam

    betas: list[float] = option([0.9, 0.999], "decay of the first and second moment", length=2, least=0, below=1)
    eps: float = option(1e-8, "added to the root of the second moment (rmsprop_tf: inside the root)", above=0)

    def build(self, groups: list[dict[str, Any]], new_rate: Callable[[], Tensor]) -> torch.optim.Optimizer:
        rate = new_rate()
        return self.kind(
            groups,
            lr=rate,
            betas=(self.betas[0], self.betas[1]),
            eps=self.eps,
            fused=True,
            # For the capture of a CUDA graph. The fused kernels compute the same either way.
            capturable=rate.is_cuda,
        )


@register_optimizer("adamw")
@dataclass(frozen=True)
class AdamW(Adam):
    """Loshchilov and Hutter, 2019."""

    kind: ClassVar[type[torch.optim.Adam]] = torch.optim.AdamW
