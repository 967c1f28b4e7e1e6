"""Options without effect, and losses that cannot act, are said once when a training starts."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import pytest

from reid_dml.config import load_config, warn_of_idle_options
from reid_dml.mutual.terms import TERMS, Term, register_term
from reid_dml.options import option
from tests.conftest import REPOSITORY


def advice(cfg):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warn_of_idle_options(cfg)
    return [str(entry.message) for entry in found]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ("SAMPLER.NAME identity TRAIN.BATCH_SIZE 4 OBJECTIVE.TRIPLET_WEIGHT 1", "TRIPLET_WEIGHT: 1.0: a batch of one"),
        ("SAMPLER.NAME identity TRAIN.BATCH_SIZE 4 OBJECTIVE.CIRCLE_WEIGHT 1", "CIRCLE_WEIGHT: 1.0: a batch of one"),
        (
            "SAMPLER.NAME cross_camera SAMPLER.IMAGES_PER_IDENTITY 1 OBJECTIVE.TRIPLET_WEIGHT 1",
            "TRIPLET_WEIGHT: 1.0: a batch with one image of each person",
        ),
        (
            "SAMPLER.NAME identity SAMPLER.IMAGES_PER_IDENTITY 1 OBJECTIVE.CIRCLE_WEIGHT 1",
            "CIRCLE_WEIGHT: 1.0: a batch with one image of each person",
        ),
        ("OBJECTIVE.WEIGHT 0", "OBJECTIVE.WEIGHT: 0.0: nobody learns from its peers"),
        ("TEST.RERANK_K [30,6]", "TEST.RERANK_K: [30, 6]: has no effect while TEST.RERANK is False"),
        ("TEST.EXPAND_ALPHA 3", "TEST.EXPAND_ALPHA: 3.0: has no effect while TEST.EXPAND is 0"),
        ("OBJECTIVE.WARMUP_STEPS 1000", "WARMUP_STEPS: 1000: is longer than the training"),
        (
            "SCHEDULE.WARMUP_STEPS 6",
            "WARMUP_STEPS: 6: is not below TRAIN.STEPS 6: the learning rate only rises, to 1 of",
        ),
        (
            "SCHEDULE.WARMUP_STEPS 60",
            "WARMUP_STEPS: 60: is not below TRAIN.STEPS 6: the learning rate only rises, to 0.1 ",
        ),
        ("OBJECTIVE.STRATEGY dml_e OBJECTIVE.PEER_REDUCTION sum", "PEER_REDUCTION: 'sum': has no effect under dml_e"),
        ("OBJECTIVE.ENSEMBLE logits", "OBJECTIVE.ENSEMBLE: 'logits': has no effect under dml;"),
        (
            "OBJECTIVE.STRATEGY independent OBJECTIVE.TEMPERATURE 2",
            "OBJECTIVE.TEMPERATURE: 2.0: has no effect while OBJECTIVE.STRATEGY is independent",
        ),
        ("OBJECTIVE.TRIPLET_MARGIN 0.5", "TRIPLET_MARGIN: 0.5: has no effect while OBJECTIVE.TRIPLET_WEIGHT is 0"),
        ("SCHEDULE.MILESTONES [3]", "MILESTONES: [3]: has no effect under SCHEDULE.NAME cosine; it is of multistep"),
        ("SAMPLER.IMAGES_PER_IDENTITY 2", "has no effect under SAMPLER.NAME epoch; it is of cross_camera, identity"),
        ("MODEL.INIT_STD [0.01,0.09]", "MODEL.INIT_STD: [0.01, 0.09]: has no effect while MODEL.INIT is default"),
        ("EMA.ENABLED False", "EMA.DECAY: 0.9: has no effect while EMA.ENABLED is False"),
    ],
)
def test_what_has_no_effect_is_named(make_config, overrides, words):
    (line,) = advice(make_config(*overrides.split()))
    assert words in line


@pytest.fixture
def other_switch(monkeypatch):
    """A term on pairs that is switched on by another option than a weight."""
    monkeypatch.setattr(TERMS, "_entries", TERMS.entries())

    @register_term("pairs")
    @dataclass(frozen=True)
    class Pairs(Term):
        title: ClassVar[str] = "Pairs"
        prefix: ClassVar[str] = "PAIRS_"
        switch: ClassVar[str] = "KIND"
        needs_pairs: ClassVar[bool] = True

        kind: str = option("none", "what is compared", choices=("none", "near"))
        count: int = option(3, "of pairs", least=1)

        @property
        def active(self):
            return self.kind != "none"

        def loss(self, inputs):
            return inputs.own.features.sum()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ("OBJECTIVE.PAIRS_COUNT 2", "OBJECTIVE.PAIRS_COUNT: 2: has no effect while OBJECTIVE.PAIRS_KIND is none"),
        (
            "OBJECTIVE.PAIRS_KIND near SAMPLER.NAME identity SAMPLER.IMAGES_PER_IDENTITY 1",
            "OBJECTIVE.PAIRS_KIND: 'near': a batch with one image of each person has no positives",
        ),
    ],
)
def test_a_term_with_another_switch_is_advised_by_it(other_switch, make_config, overrides, words):
    (line,) = advice(make_config(*overrides.split()))
    assert line.startswith(words)


def test_a_config_in_which_all_acts_has_no_advice(make_config):
    assert advice(make_config()) == []
    assert advice(make_config("SCHEDULE.WARMUP_STEPS", "5")) == []
    assert advice(make_config("TRAIN.STEPS", "0")) == []
    pairs = ("SAMPLER.NAME", "identity", "OBJECTIVE.TRIPLET_WEIGHT", "1")
    assert advice(make_config(*pairs, "OBJECTIVE.STRATEGY", "dml_e")) == []


@pytest.mark.parametrize("name", ["quickstart", "market_mobilenet_dml", "cifar/quickstart", "market_mobilenet_dml_cpu"])
def test_shipped_configs_have_no_advice(name):
    assert advice(load_config(REPOSITORY / "configs" / f"{name}.yml")) == []


def test_a_training_says_it_once(command, tiny_config, tmp_path):
    options = ["SAMPLER.NAME", "identity", "TRAIN.BATCH_SIZE", "4", "OBJECTIVE.TRIPLET_WEIGHT", "1", "TRAIN.STEPS", "4"]
    result = command("train_net", "--config-file", tiny_config, "OUTPUT_DIR", tmp_path / "run", *options)
    assert result.code == 0
    assert result.err.count("OBJECTIVE.TRIPLET_WEIGHT") == 1
    assert (
        command("test_net", "--config-file", tiny_config, *options, "MODEL.WEIGHTS", tmp_path / "run").err.count(
            "TRIPLET_WEIGHT"
        )
        == 0
    )
