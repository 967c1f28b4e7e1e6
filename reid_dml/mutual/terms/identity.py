"""The identity loss: cross entropy on the labelled images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from reid_dml.mutual.losses import identity_loss
from reid_dml.mutual.terms import Term, TermInputs, register_term
from reid_dml.options import option


@register_term("identity")
@dataclass(frozen=True)
class Identity(Term):
    """Eq. (2) of the paper; never off."""

    title: ClassVar[str] = "Loss on the labels"
    unit: ClassVar[str] = "nats"
    order: ClassVar[int] = 0

    label_smoothing: float = option(0.0, "share of the target spread evenly over all classes", least=0, most=1)

    @property
    def active(self) -> bool:
        return True

    def loss(self, inputs: TermInputs) -> Tensor:
        batch = inputs.batch
        return identity_loss(
            inputs.own.logits, batch.labels, label_smoothing=self.label_smoothing, count=batch.label_count
        )

    def record(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing}
