"""Batches of P persons with K images each: what every batch and every epoch holds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid_dml.data.pipeline.samplers.cross_camera import CrossCameraSampler
from reid_dml.data.pipeline.samplers.identity import IdentitySampler
from reid_dml.data.pipeline.sources import make_source
from reid_dml.data.records import ImageRecord
from reid_dml.errors import UserError

# Person 0 has 5 images of 3 cameras, person 1 has 2 of one, person 2 has 4 of 4, person 3 one, -1 is unlabelled.
LABELS = np.array([0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 3, -1, -1])
CAMERAS = np.array([1, 1, 1, 2, 3, 1, 1, 1, 2, 3, 4, 2, 1, 2])
KINDS = ("identity", "cross_camera")


def make(kind, labels, cameras, persons, images, seed=0):
    if kind == "identity":
        return IdentitySampler(labels, persons, images, seed)
    return CrossCameraSampler(labels, cameras, persons, images, seed)


@pytest.mark.parametrize("kind", KINDS)
@given(
    images=st.lists(st.tuples(st.integers(-1, 6), st.integers(0, 4)), min_size=1, max_size=60),
    persons=st.integers(1, 3),
    count=st.integers(1, 5),
    seed=st.integers(0, 3),
)
def test_a_batch_holds_p_persons_with_k_images_and_an_epoch_each_person_once(kind, images, persons, count, seed):
    labels, cameras = np.array(images).T
    people = len(set(labels.tolist()) - {-1})
    if people < persons:
        with pytest.raises(ValueError, match=f"a batch of {persons} persons"):
            make(kind, labels, cameras, persons, count, seed)
        return
    sampler = make(kind, labels, cameras, persons, count, seed)
    assert len(sampler) == people // persons
    for epoch in range(2):
        seen = []
        for step in range(epoch * len(sampler), (epoch + 1) * len(sampler)):
            rows = sampler.indices(step).reshape(persons, count)
            for block in rows:
                label = labels[block[0]]
                assert label >= 0
                assert set(labels[block]) == {label}
                seen.append(label)
                # Without repetition where there are enough; else evenly.
                own = (labels == label).sum()
                times = Counter(block.tolist()).values()
                assert len(times) == min(own, count)
                assert max(times) - min(times) <= 1
                if kind == "cross_camera":
                    taken, there = len(set(cameras[block])), len(set(cameras[labels == label]))
                    assert taken == min(count, there)
        assert len(seen) == len(set(seen)) == len(sampler) * persons


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_a_pure_function_of_seed_and_step(kind):
    in_order, jumping = (make(kind, LABELS, CAMERAS, 2, 3, seed=5) for _ in range(2))
    expected = [in_order.indices(step).tolist() for step in range(20)]
    for step in (19, 0, 7, 7, 13):
        assert jumping.indices(step).tolist() == expected[step]
    assert make(kind, LABELS, CAMERAS, 2, 3, seed=6).indices(0).tolist() != expected[0]


def test_reading_ahead_draws_every_epoch_once(monkeypatch):
    sampler, drawn, draw = make("identity", LABELS, CAMERAS, 2, 3, seed=5), [], IdentitySampler.draw_epoch
    monkeypatch.setattr(IdentitySampler, "draw_epoch", lambda self, rng: drawn.append(1) or draw(self, rng))
    for step in range(5 * len(sampler)):
        for coming in range(step, step + 5):
            sampler.indices(coming)
    assert len(drawn) == (5 * len(sampler) + 3) // len(sampler) + 1


def test_cameras_take_turns():
    sampler = CrossCameraSampler(LABELS, CAMERAS, 4, 4, 0)
    for step in range(50):
        blocks = {LABELS[block[0]]: block for block in sampler.indices(step).reshape(4, 4)}
        assert sorted(CAMERAS[blocks[0]]) == [1, 1, 2, 3]
        assert len(set(blocks[0].tolist())) == 4
        assert sorted(CAMERAS[blocks[2]]) == [1, 2, 3, 4]


def test_every_image_and_every_camera_has_the_same_chance():
    identity = IdentitySampler(LABELS, 4, 2, 0)
    taken = Counter(row for step in range(2000) for row in identity.indices(step).tolist() if LABELS[row] == 0)
    for row in range(5):
        assert taken[row] / 2000 == pytest.approx(2 / 5, abs=0.05)
    cross = CrossCameraSampler(LABELS, CAMERAS, 4, 2, 0)
    taken = Counter(row for step in range(2000) for row in cross.indices(step).tolist() if LABELS[row] == 0)
    # Two of three cameras; the three images of camera 1 share its turn.
    for row, share in enumerate([2 / 9, 2 / 9, 2 / 9, 2 / 3, 2 / 3]):
        assert taken[row] / 2000 == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_sources_of_both_kinds_give_the_same_persons(make_config, kind):
    from reid_dml.data.sets import load_data

    data = load_data(make_config())
    batches = []
    for source in ("resident", "streaming"):
        cfg = make_config("DATA.SOURCE", source, "SAMPLER.NAME", kind)
        batches.append(make_source(cfg, data.train, data.class_ids, 1, "cpu").batch(3))
    for batch in batches:
        assert batch.labels.reshape(2, 4).unique(dim=1).shape == (2, 1)
    assert (batches[0].images == batches[1].images).all()


def records(persons, cameras):
    return [ImageRecord(f"{p}-{c}-{n}.jpg", p, c) for p in range(1, persons + 1) for c in cameras for n in range(4)]


def test_too_few_persons_are_refused(make_config):
    cfg = make_config("SAMPLER.NAME", "identity", "SAMPLER.IMAGES_PER_IDENTITY", "2")
    with pytest.raises(UserError, match=r"8 images, 2 of a person, are 4 persons, more than the training set's 3"):
        make_source(cfg, records(3, [1, 2]), [1, 2, 3], 1, "cpu")


def test_cross_camera_batches_of_one_camera_are_refused(make_config):
    with pytest.raises(UserError, match=r"SAMPLER\.NAME: cross_camera needs at least two cameras"):
        make_source(make_config("SAMPLER.NAME", "cross_camera"), records(3, [1]), [1, 2, 3], 1, "cpu")
