"""Samplers of one's own that do not give what they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from reid_dml.commands.train import train_and_evaluate
from reid_dml.data.pipeline.samplers import SAMPLERS, Sampler, SamplerKind
from reid_dml.errors import UserError

IMAGES, BATCH = 20, 8  # of the tiny config


class Drawn(Sampler):
    """Two batches an epoch."""

    def __len__(self):
        return 2

    def draw_epoch(self, rng):
        return np.arange(16)


class NoBatches(Drawn):
    def __len__(self):
        return 0


def sampler(draw):
    class Drawing(Drawn):
        def draw_epoch(self, rng):
            return draw(rng)

    return Drawing


@pytest.fixture
def train(make_config, monkeypatch):
    """A function that trains six steps with a sampler of this class and batch size."""

    def train_with(made, batch_size=BATCH, *options):
        @dataclass(frozen=True)
        class Mine(SamplerKind):
            def build(self, labels, cameras, batch_size_wanted, seed):
                return made(batch_size, seed)

        monkeypatch.setattr(SAMPLERS, "_entries", {**SAMPLERS.entries(), "mine": Mine})
        cfg = make_config("SAMPLER.NAME", "mine", *options)
        train_and_evaluate(cfg)
        return Path(cfg.OUTPUT_DIR)

    return train_with


@pytest.mark.parametrize("source", ["resident", "streaming"])
@pytest.mark.parametrize(("drawn", "given"), [(12, 4), (8, 0), (15, 7)])
def test_too_few_images_for_the_last_batch_of_an_epoch(train, tmp_path, drawn, given, source):
    line = (
        rf"^SAMPLER\.NAME: tests\.data\.test_sampler_checks\..*Drawing gives {given} images for batch 1 of the run, 8 "
        r"are wanted; its draw_epoch must give 16 positions, for 2 batches an epoch \(its len\)$"
    )
    with pytest.raises(UserError, match=line):
        train(sampler(lambda rng: np.arange(drawn)), BATCH, "DATA.SOURCE", source)
    assert not (tmp_path / "run" / "config.yml").exists()


@pytest.mark.parametrize("source", ["resident", "streaming"])
def test_too_few_images_in_a_later_epoch(train, tmp_path, source):
    orders = iter([16, 16, *[12] * 9])
    made = sampler(lambda rng: np.arange(next(orders)))
    with pytest.raises(UserError, match="gives 4 images for batch 5 of the run, 8 are wanted"):
        train(made, BATCH, "DATA.SOURCE", source, "TRAIN.CHECKPOINT_INTERVAL", "2")
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == ["step_000000002", "step_000000004"]


def test_another_batch_size_than_asked_for(train):
    with pytest.raises(UserError, match=r"makes batches of 4 images, TRAIN\.BATCH_SIZE is 8; set them alike"):
        train(Drawn, 4)


def test_no_batch_in_an_epoch(train):
    with pytest.raises(UserError, match=r"NoBatches has no batch in an epoch .*; lower TRAIN\.BATCH_SIZE"):
        train(NoBatches)


@pytest.mark.parametrize(
    ("order", "what"),
    [
        (np.arange(16) + 5, "13 to 20 for batch 1"),
        (np.arange(16) - 1, "-1 to 6 for batch 0"),
        (np.arange(16) / 2, "ndarray float64 for batch 0"),
        (list(range(16)), "list int64 for batch 0"),
    ],
)
def test_what_are_no_positions_of_images(train, order, what):
    with pytest.raises(UserError, match=rf"gives {what}; wanted are positions of the 20 training images, 0 to 19"):
        train(sampler(lambda rng: order))


def test_more_images_than_an_epoch_takes_are_left_out(train):
    assert (train(sampler(lambda rng: rng.permutation(IMAGES))) / "result.json").is_file()
