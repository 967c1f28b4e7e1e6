"""A loss term sees of the peers what it has asked for, whatever the other terms ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from reid_dml.data.pipeline.sources import Batch
from reid_dml.errors import UserError
from reid_dml.models import Output
from reid_dml.mutual.objective import Objective, Scalars
from reid_dml.mutual.terms import State, Term, TermInputs
from reid_dml.mutual.terms.feature_l2 import FeatureL2
from reid_dml.mutual.terms.mimicry import Mimicry


@dataclass(frozen=True)
class Reader(Term):
    """Reads the peers in one of several ways, mostly without having asked."""

    name: ClassVar[str] = "reader"
    prefix: ClassVar[str] = "READER_"
    how: str = "loop"

    @property
    def active(self) -> bool:
        return True

    def loss(self, inputs: TermInputs) -> Tensor:
        total = inputs.own.logits.sum() * 0
        if self.how == "loop":
            for peer in inputs.peers:
                total = total + peer.logits.sum()
        elif self.how == "list":
            total = total + sum(peer.logits.sum() for peer in list(inputs.peers))
        elif self.how == "branch" and inputs.peers:
            total = total + inputs.peers[0].logits.sum()
        elif self.how == "features":
            total = total + inputs.peers[0].features.sum()
        elif self.how == "unpacked":
            logits, features = inputs.peers[0]
            total = total + logits.sum() + features.sum()
        return total


class LateReader(Reader):
    def loss(self, inputs: TermInputs) -> Tensor:
        return inputs.own.logits.sum() * 0

    def new_state(self, num_classes: int, feature_dim: int) -> State:
        return {"seen": torch.zeros(())}

    def after_backward(self, inputs: TermInputs) -> None:
        inputs.state["seen"].add_(len(inputs.peers))


class LogitsReader(Reader):
    needs_peers: ClassVar[bool] = True


class FeatureReader(LogitsReader):
    needs_peer_features: ClassVar[bool] = True


OWN, PEER = (Output(torch.full((2, 3), value), torch.full((2, 4), value)) for value in (1.0, 2.0))
BATCH = Batch(torch.zeros(2, 3, 8, 8), torch.tensor([0, 1]), torch.zeros(2), torch.zeros(2, 0))


def loss_of(*terms: Term, compiled: bool = False) -> Tensor:
    """What the last of the terms gives."""
    scalars = Scalars(torch.ones(2), torch.ones(len(terms), dtype=torch.float64), torch.tensor(0.9))
    objective = Objective(terms)
    call = torch.compile(objective.__call__, backend="eager") if compiled else objective
    return call(OWN, [PEER] if objective.uses_peers else [], BATCH, scalars, {})[terms[-1].name]


@pytest.mark.parametrize("others", [(), (Mimicry(),), (FeatureL2(weight=1.0),)])
@pytest.mark.parametrize("how", ["loop", "list", "branch", "features"])
def test_peers_that_were_not_asked_for(how, others):
    line = r"OBJECTIVE\.READER_WEIGHT: the loss term 'reader' reads the peers without .*`needs_peers: .*\.Reader$"
    with pytest.raises(UserError, match=line):
        loss_of(*others, Reader(how))


def test_peers_that_were_not_asked_for_in_a_compiled_step():
    with pytest.raises(UserError, match="reads the peers without"):
        loss_of(Reader("loop"), compiled=True)
    with pytest.raises(UserError, match="reads the peers' features without"):
        loss_of(LogitsReader("features"), compiled=True)
    assert loss_of(Mimicry(), LogitsReader("loop"), compiled=True) == 12


def test_peers_that_were_not_asked_for_once_the_gradient_is_there():
    objective, term = Objective([LateReader()]), LateReader()
    with pytest.raises(UserError, match=r"'reader' reads the peers without .*\.LateReader$"):
        objective.after_backward(OWN, [], BATCH, {term.name: term.new_state(3, 4)})


@pytest.mark.parametrize("others", [(), (Mimicry(),), (FeatureL2(weight=1.0),)])
@pytest.mark.parametrize("how", ["features", "unpacked"])
def test_features_that_were_not_asked_for(how, others):
    line = r"OBJECTIVE\.READER_WEIGHT: the loss term 'reader' reads the peers' features .*`needs_peer_features: "
    with pytest.raises(UserError, match=line):
        loss_of(*others, LogitsReader(how))


def test_what_was_asked_for_is_there():
    for how in ("loop", "list", "branch"):
        assert loss_of(LogitsReader(how)) == loss_of(FeatureReader(how)) == 12
    assert loss_of(FeatureReader("features")) == 16
    assert loss_of(FeatureReader("unpacked")) == 28
