"""Registering a part: what cannot be one is refused there and then, by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from reid_dml.classification.measures import register_measure as register_classification_measure
from reid_dml.config.schema import Section
from reid_dml.data.pipeline.samplers import SamplerKind, register_sampler
from reid_dml.data.sets import DATA_SETS, TASKS, register_data
from reid_dml.data.sets.synthetic import SyntheticOptions
from reid_dml.engine.loggers import LOGGERS, register_logger
from reid_dml.engine.schedules import LearningRateSchedule, register_schedule
from reid_dml.errors import UserError
from reid_dml.models.backbones import register_backbone
from reid_dml.mutual.terms import TERMS, WeightedTerm, register_term
from reid_dml.options import Component, option
from reid_dml.ranking.measures import register_measure
from reid_dml.tasks.task import TASKS as TASK_KINDS


class NoTitle(WeightedTerm):
    """A term as it must not be."""

    prefix: ClassVar[str] = "NO_TITLE_"
    weight: float = option(0.0, "weight", least=0)

    def loss(self, inputs):
        return inputs.own.logits.mean()


def test_a_term_is_refused_by_what_it_lacks():
    before = TERMS.entries()
    with pytest.raises(ValueError, match=r"OBJECTIVE: 'bare'.*NoTitle is no dataclass; put @dataclass\(frozen=True\)"):
        register_term("bare")(NoTitle)
    with pytest.raises(ValueError, match=r"OBJECTIVE: 'untitled'.*NoTitle lacks title; write title: ClassVar\[str\]"):
        register_term("untitled")(dataclass(frozen=True)(NoTitle))

    @dataclass(frozen=True)
    class NoLoss(WeightedTerm):
        title: ClassVar[str] = "Nothing"
        weight: float = option(0.0, "weight", least=0)

    with pytest.raises(ValueError, match=r"'lossless' cannot be registered: .*NoLoss lacks loss"):
        register_term("lossless")(NoLoss)

    @dataclass(frozen=True)
    class NoWeight(WeightedTerm):
        title: ClassVar[str] = "Nothing"

        def loss(self, inputs):
            return inputs.own.logits.mean()

    @dataclass(frozen=True)
    class FeaturesAlone(NoLoss):
        needs_peer_features: ClassVar[bool] = True

    with pytest.raises(ValueError, match=r"FeaturesAlone needs features of peers and no peers; write needs_peers"):
        register_term("features")(FeaturesAlone)
    for no_term in (len, 3, Falling):
        with pytest.raises(ValueError, match=r"OBJECTIVE: 'no' cannot be registered: .* is no class made from Term"):
            register_term("no")(no_term)

    with pytest.raises(ValueError, match=r"NoWeight has no value for weight; write weight: float = option\("):
        register_term("weightless")(NoWeight)
    assert TERMS.entries() == before


class Falling(LearningRateSchedule):
    def factor(self, step, total, warmup_steps):
        return 1 - step / total


def test_other_components_are_dataclasses_too():
    with pytest.raises(ValueError, match=r"SCHEDULE\.NAME: 'falling' cannot be registered: .*Falling is no dataclass"):
        register_schedule("falling")(Falling)
    with pytest.raises(ValueError, match=r"SAMPLER\.NAME: 'nothing' .*SamplerKind lacks build"):
        register_sampler("nothing")(SamplerKind)
    with pytest.raises(ValueError, match=r"SCHEDULE\.NAME: .*Falling is registered without a name"):
        register_schedule(Falling)


def test_a_logger_is_one():
    before = LOGGERS.entries()
    with pytest.raises(ValueError, match=r"LOG\.TO: 'printer' cannot be registered: .* is no class made from Logger"):
        register_logger("printer")(print)
    with pytest.raises(ValueError, match="is registered without a name"):
        register_logger(print)
    assert LOGGERS.entries() == before


def load(cfg):
    """Stands for a function that reads a data set."""


@dataclass(frozen=True)
class Own(Component):
    size: int = option(3, "a size")


class NoDataclass(Component):
    size: int = option(3, "a size")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": "tracking"}, "task 'tracking' is not one of retrieval, classification"),
        ({"task": "retrieval", "options": Own}, "section and options belong together"),
        ({"task": "retrieval", "section": "MINE"}, "section and options belong together"),
        ({"task": "retrieval", "section": "mine", "options": Own}, "section 'mine' is no name of a section"),
        ({"task": "retrieval", "section": "MINE", "options": NoDataclass}, "NoDataclass is no dataclass"),
        ({"task": "retrieval", "section": "SYNTHETIC", "options": Own}, "another data set has a section SYNTHETIC"),
    ],
)
def test_a_data_set_is_refused_by_what_is_wrong(options, said):
    with pytest.raises(ValueError, match=f"DATA.NAME: 'mine' cannot be registered: .*{said}"):
        register_data("mine", **options)(load)
    assert "mine" not in DATA_SETS.names()


def test_the_tasks_are_those_that_there_are():
    assert set(TASKS) == set(TASK_KINDS)
    assert SyntheticOptions in {entry.options for entry in DATA_SETS.entries().values()}


def test_a_name_that_is_taken_says_by_whom():
    for register, name, taken in (
        (register_data("market1501", task="retrieval"), "market1501", "reid_dml.data.sets.market1501.load"),
        (register_backbone("mobilenet_v1", stage_modules=("a", "b")), "mobilenet_v1", "reid_dml.models.mobilenet"),
        (register_measure("mAP"), "mAP", "reid_dml.ranking.measures."),
        (register_classification_measure("top1"), "top1", "reid_dml.classification.measures."),
    ):
        with pytest.raises(ValueError, match=f"{name!r} is registered already, by {taken}.*; give .*load another name"):
            register(load)


def test_an_option_of_two_terms_names_both():
    one, other = TERMS.entries()["mimicry"], type("Other", (TERMS.entries()["mimicry"],), {})
    section = Section("OBJECTIVE", owners=[other], terms=True)
    with pytest.raises(UserError, match=rf"OBJECTIVE\.\w+: is an option of .*Other and of .*{one.__qualname__}; give"):
        section.options()
