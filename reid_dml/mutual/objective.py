"""The objective: the loss terms that one network is trained to minimise the sum of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reid_dml.data.pipeline.sources import Batch
from reid_dml.models import Output
from reid_dml.mutual.peers import peers_for
from reid_dml.mutual.terms import State, Term, TermInputs, active_terms


@dataclass(frozen=True)
class Scalars:
    """The numbers of one step, all on the device; a pure function of the step (see `engine/schedules`)."""

    learning_rates: Tensor  # (K,) float64
    term_weights: Tensor  # (T,) float64, of the objective's terms in their order; 1 where a term has no weight
    ema_decay: Tensor  # 0-d float64


class Objective:
    """The weighted sum of loss terms, and the state that they keep for each network."""

    def __init__(self, terms: Sequence[Term]) -> None:
        """An objective of these terms, the identity loss first."""
        self.terms = tuple(terms)
        self.names = tuple(term.name for term in terms)  # the columns of a step's report and of logs
        self.uses_peers = any(term.needs_peers for term in terms)
        self.uses_features = any(term.needs_peer_features for term in terms)

    def __call__(
        self, own: Output, peers: Sequence[Output], batch: Batch, scalars: Scalars, state: Mapping[str, State]
    ) -> dict[str, Tensor]:
        """The weighted terms of one network on one batch; its loss is their sum.

        Args:
            own: the network's output, with a gradient.
            peers: detached outputs of the others and of frozen teachers; empty unless `uses_peers`.
            batch: the batch.
            scalars: of this step.
            state: what the terms keep for this network (see `new_state`).

        Returns:
            {term: weighted 0-d tensor} in the order of `names`.

        Raises:
            UserError: a term reads of the peers what it has not asked for.
        """
        losses = {}
        weights = scalars.term_weights.to(torch.promote_types(own.logits.dtype, torch.float32))
        for term, weight in zip(self.terms, weights, strict=True):
            loss = term.loss(TermInputs(own, peers_for(term, peers), batch, state.get(term.name, {})))
            losses[term.name] = loss if term.weight_at(0) is None else weight * loss
        return losses

    def weights_at(self, step: int) -> list[float]:
        """Weights of the terms at a step (counted from 0), in their order."""
        weights = (term.weight_at(step) for term in self.terms)
        return [1.0 if weight is None else weight for weight in weights]

    def new_state(self, num_classes: int, feature_dim: int, device: str) -> dict[str, State]:
        """What the terms keep for a network at the start, by term; terms without state are left out.

        Args:
            num_classes, feature_dim: of the network's head and pooled feature.
            device: where the network is trained.
        """
        states = {term.name: term.new_state(num_classes, feature_dim) for term in self.terms}
        return {
            name: {key: tensor.to(device) for key, tensor in state.items()} for name, state in states.items() if state
        }

    @torch.no_grad()
    def after_backward(self, own: Output, peers: Sequence[Output], batch: Batch, state: Mapping[str, State]) -> None:
        """Let the terms change their state, once the batch's gradient is there.

        Args:
            own, peers, batch, state: as for a call.
        """
        for term in self.terms:
            if term.name in state:
                term.after_backward(TermInputs(own, peers_for(term, peers), batch, state[term.name]))

    def record(self) -> dict[str, Any]:
        """What the run record says of the objective."""
        found: dict[str, Any] = {"strategy": "independent", "regularisers": {}}
        for term in self.terms:
            for key, value in term.record().items():
                found[key] = found.get(key, {}) | value if isinstance(value, dict) else value
        return found


def build_objective(section: Mapping[str, Any]) -> Objective:
    """The objective that the options of `OBJECTIVE` switch on."""
    return Objective(active_terms(section))
