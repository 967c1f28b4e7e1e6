"""Optimisers, one file each, and one of them for each network with weight decay only where the recipe has it.

To add one: a file here with a class like those beside it, decorated with `register_optimizer` (docs/extending.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reid_dml.engine.optimizers.decay import WeightDecay
from reid_dml.options import Component, from_section, option
from reid_dml.registry import Registry


class Optimizer(Component, ABC):
    """The contract of every optimiser, whose options stand below `OPTIM`."""

    @abstractmethod
    def build(self, groups: list[dict[str, Any]], new_rate: Callable[[], Tensor]) -> torch.optim.Optimizer:
        """torch's optimiser of these parameter groups.

        Args:
            groups: parameters, weight decay and learning rate (a 0-d tensor on the network's device, set in place at
                every step) of each group.
            new_rate: a fresh 0-d tensor of the learning rate, for torch's defaults.

        Returns:
            An optimiser whose step can be captured as a CUDA graph.
        """


OPTIMIZERS: Registry[type[Optimizer]] = Registry("OPTIM.NAME", __name__, Optimizer)
register_optimizer = OPTIMIZERS.register


@dataclass(frozen=True)
class OptimizerOptions:
    """What every optimiser is asked for beside its own options."""

    name: str = option("adam", "which optimiser", choices=OPTIMIZERS.names)
    clip_norm: float = option(
        0.0, "largest norm of a network's gradient, which is scaled down to it; 0: no limit", least=0
    )


def build_optimizer(section: Mapping[str, Any], network: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """The optimiser of one network.

    Args:
        section: the options of `OPTIM`.
        network: on the device it is trained on.
        learning_rate: the first one.

    Returns:
        torch's optimiser; its learning rates are 0-d tensors on the network's device.
    """
    device = next(network.parameters()).device

    def new_rate() -> Tensor:
        return torch.tensor(learning_rate, device=device)

    groups = [{**group, "lr": new_rate()} for group in from_section(WeightDecay, section).groups(network)]
    return from_section(OPTIMIZERS.get(section["NAME"]), section).build(groups, new_rate)
