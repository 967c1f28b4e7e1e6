"""Refusals say how a term is switched off, whatever option switches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from reid_dml.commands import training
from reid_dml.commands.train import train_and_evaluate
from reid_dml.errors import UserError
from reid_dml.mutual.terms import TERMS, Term, register_term
from reid_dml.options import option

ON = ("OBJECTIVE.PULL_KIND", "near")
ALONE = ("COHORT.NETWORKS", "[mobilenet_v1_0.25]")


@pytest.fixture(autouse=True)
def pull(monkeypatch):
    monkeypatch.setattr(TERMS, "_entries", TERMS.entries())

    @register_term("pull")
    @dataclass(frozen=True)
    class Pull(Term):
        title: ClassVar[str] = "Pull"
        prefix: ClassVar[str] = "PULL_"
        switch: ClassVar[str] = "KIND"
        off: ClassVar[str | int] = "none"
        needs_peers: ClassVar[bool] = True
        needs_peer_features: ClassVar[bool] = True
        shardable: ClassVar[bool] = False

        kind: str = option("none", "who is pulled", choices=("none", "near"))

        @property
        def active(self):
            return self.kind != self.off

        def loss(self, inputs):
            return sum((inputs.own.features - peer.features).square().mean() for peer in inputs.peers)


def test_terms_that_need_peers_where_there_are_none(make_config):
    with pytest.raises(UserError, match=r"OBJECTIVE\.STRATEGY: 'dml' needs peers, .*; set it to independent$"):
        make_config(*ALONE)
    with pytest.raises(UserError, match=r"OBJECTIVE\.PULL_KIND: 'near' needs peers, .*; set it to none$"):
        make_config(*ALONE, *ON, "OBJECTIVE.STRATEGY", "independent")


def test_terms_of_features_of_different_width(make_config):
    networks = ("COHORT.NETWORKS", "[mobilenet_v1_0.25, mobilenet_v1_0.5]")
    cfg = make_config(*networks, *ON, "OBJECTIVE.FEATURE_L2_WEIGHT", "0.01")
    remedy = r"; set OBJECTIVE\.FEATURE_L2_WEIGHT to 0 and set OBJECTIVE\.PULL_KIND to none$"
    with pytest.raises(UserError, match=r"256 and 512 wide; only equal widths can be drawn together" + remedy):
        train_and_evaluate(cfg)


def test_terms_whose_state_processes_cannot_share(make_config, monkeypatch):
    monkeypatch.setattr(training, "world_size", lambda: 4)
    for options, remedy in ((ON, "PULL_KIND: .*set it to none$"), (("OBJECTIVE.CENTER_WEIGHT", "1"), "set it to 0$")):
        with pytest.raises(UserError, match=remedy):
            training.plan_training(make_config(*options))
