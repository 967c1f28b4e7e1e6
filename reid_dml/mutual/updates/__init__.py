"""Update rules, one file each: in which order the networks of a cohort learn from one batch and from each other.

A rule's `step` runs on the device throughout: no `.item()`, no branch on data. Given n times the batches it needs, it
updates every network once with the mean of n gradients (`TRAIN.ACCUMULATION`): all of them computed before that network
changes, so that without batch norm n batches do what one n times as large would. To add a rule: a file here with a
class like those beside it, decorated with `register_update` (docs/extending.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from reid_dml.data.pipeline.sources import Batch
from reid_dml.mutual.cohort import Cohort
from reid_dml.mutual.objective import Objective, Scalars
from reid_dml.options import Component, from_section, option
from reid_dml.registry import Registry


class UpdateRule(Component, ABC):
    """The contract of every update rule, whose options, if it has any, stand below `UPDATE`."""

    distributed: ClassVar[bool] = False  # whether its networks may live in different processes

    @abstractmethod
    def batches_per_step(self, size: int) -> int:
        """Batches that one step of a cohort of this size takes, or a multiple of them."""

    @abstractmethod
    def step(self, cohort: Cohort, objective: Objective, batches: Sequence[Batch], scalars: Scalars) -> Tensor:
        """Update every member once.

        Args:
            cohort: the members of this process, and their links to others.
            objective: what every member minimises.
            batches: as many as `batches_per_step` says, or n times as many.
            scalars: of this step.

        Returns:
            (members, T + 2): the objective's T terms, the loss and the accuracy of every member, means over batches.
        """


UPDATE_RULES: Registry[type[UpdateRule]] = Registry("UPDATE.RULE", __name__, UpdateRule)
register_update = UPDATE_RULES.register


@dataclass(frozen=True)
class UpdateOptions:
    """Which rule."""

    rule: str = option(
        "simultaneous",
        "simultaneous (Sec. 4.5) | sequential (Algorithm 1) | fresh_batch (the authors' code)",
        choices=UPDATE_RULES.names,
    )


def build_rule(section: Mapping[str, Any]) -> UpdateRule:
    """The update rule that the options of `UPDATE` choose. Raises `UserError` if there is none of that name."""
    return from_section(UPDATE_RULES.get(section["RULE"]), section)
