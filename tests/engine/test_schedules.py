"""Learning rates, term weights and the decay of the average at every step."""

from __future__ import annotations

import math

import pytest
import torch

from reid_dml.commands.training import build_training
from reid_dml.config import per_network
from reid_dml.data.sets import load_data
from reid_dml.engine.schedules.constant import Constant
from reid_dml.engine.schedules.cosine import Cosine
from reid_dml.engine.schedules.multistep import Multistep
from reid_dml.engine.schedules.schedule import Schedule, ema_decay
from reid_dml.engine.schedules.staircase import Staircase
from reid_dml.mutual.objective import build_objective


@pytest.fixture
def make_schedule(make_config):
    """A function from overrides to the schedule of the tiny config, whose warm-up takes two steps."""

    def make(*overrides):
        cfg = make_config(*overrides)
        objective, rates = build_objective(cfg.OBJECTIVE), per_network(cfg, "COHORT.LR")
        return Schedule(cfg.SCHEDULE, objective, total=6, learning_rates=rates, ema_decay=0.9, device="cpu")

    return make


def test_learning_rate_schedules_match_their_definitions():
    assert Constant().factor(99, 100, 0) == 1.0
    cosine = Cosine(final=0.1)
    assert cosine.factor(20, 100, 20) == 1.0
    assert cosine.factor(60, 100, 20) == pytest.approx(0.55)
    assert cosine.factor(100, 100, 20) == pytest.approx(0.1)
    assert cosine.factor(40, 100, 20) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2)
    steps = Multistep(milestones=[30, 60], gamma=0.1)
    assert [round(steps.factor(step, 90, 0), 6) for step in (29, 30, 59, 60, 89)] == [1, 0.1, 0.1, 0.01, 0.01]


def test_schedules_of_the_paper_change_at_their_breakpoints():
    epoch = 50_000 // 64  # CIFAR: 0.1 every 60 epochs
    cifar = Multistep(milestones=[60 * epoch, 120 * epoch, 180 * epoch], gamma=0.1)
    for passed, milestone in enumerate(cifar.milestones):
        assert cifar.factor(milestone - 1, 200 * epoch, 0) == pytest.approx(0.1**passed)
        assert cifar.factor(milestone, 200 * epoch, 0) == pytest.approx(0.1 ** (passed + 1))
    assert cifar.factor(0, 200 * epoch, 0) == 1
    every = 20 * (1_281_167 // 64)  # ImageNet: 0.16 every 20 epochs
    imagenet = Staircase(every=every, gamma=0.16)
    for passed in range(4):
        for step in (passed * every, (passed + 1) * every - 1):
            assert imagenet.factor(step, 5 * every, 0) == pytest.approx(0.16**passed)


def test_the_warm_up_is_linear_and_comes_before_every_schedule(make_schedule):
    schedule = make_schedule("SCHEDULE.NAME", "staircase", "SCHEDULE.EVERY", "1", "SCHEDULE.WARMUP_STEPS", "4")
    assert [schedule.factor(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert schedule.factor(4) == pytest.approx(0.1**4)
    assert make_schedule("SCHEDULE.WARMUP_STEPS", "0").factor(0) == 1


def test_the_average_s_decay_rises_to_its_limit():
    assert ema_decay(0, 0.9999) == 0.1
    assert ema_decay(90, 0.9999) == 0.91
    assert ema_decay(10**6, 0.9999) == 0.9999


@pytest.mark.parametrize(("counter", "count"), [("steps", 4), ("updates", 8)])
def test_the_average_counts_steps_or_the_updates_of_both_networks(make_config, counter, count):
    cfg = make_config("EMA.COUNTER", counter, "EMA.DECAY", "0.9999")
    training = build_training(cfg, load_data(cfg), "cpu")
    assert training.schedule.scalars(4).ema_decay == ema_decay(count, 0.9999)


def test_scalars_are_a_pure_function_of_the_step(make_schedule):
    schedule = make_schedule("COHORT.LR", "[0.1, 0.2]", "OBJECTIVE.WEIGHT", "0.5", "OBJECTIVE.ENTROPY_WEIGHT", "0.25")
    scalars = schedule.scalars(0)
    torch.testing.assert_close(scalars.learning_rates, torch.tensor([0.05, 0.1], dtype=torch.float64))  # warm-up of 2
    assert schedule.objective.names == ("identity", "mimicry", "entropy")
    assert scalars.term_weights.tolist() == [1.0, 0.5, 0.25]
    schedule.scalars(5)
    assert torch.equal(schedule.scalars(0).learning_rates, scalars.learning_rates)


def test_the_mimicry_weight_warms_up(make_schedule):
    schedule = make_schedule("OBJECTIVE.WEIGHT", "2.0", "OBJECTIVE.WARMUP_STEPS", "4")
    weights = [schedule.scalars(step).term_weights[1].item() for step in range(6)]
    assert weights == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_milestones_behind_the_end_are_pointed_out(make_schedule):
    with pytest.warns(UserWarning, match=r"SCHEDULE\.MILESTONES: \[6, 9\] are never reached in TRAIN\.STEPS 6"):
        make_schedule("SCHEDULE.NAME", "multistep", "SCHEDULE.MILESTONES", "[2, 6, 9]")
