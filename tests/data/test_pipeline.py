"""Samplers, sources and augmentation: pure functions of seed and step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_dml.data.pipeline.augment import AugmentSpec, augment
from reid_dml.data.pipeline.draws import augmentation_draws
from reid_dml.data.pipeline.samplers.epoch import EpochSampler
from reid_dml.data.pipeline.sources import Shard, make_source
from reid_dml.data.sets import load_data
from reid_dml.data.stored import ReadAhead
from reid_dml.errors import UserError

SPEC = AugmentSpec((6, 4), (0.5, 0.4, 0.3), (0.5, 0.25, 0.2), flip=0.5)


@settings(deadline=None)
@given(st.integers(2, 40), st.integers(1, 40), st.integers(0, 3))
def test_every_image_comes_once_an_epoch(num_images, batch_size, seed):
    batch_size = min(batch_size, num_images)
    sampler = EpochSampler(num_images, batch_size, seed)
    assert len(sampler) == num_images // batch_size
    for epoch in range(2):
        steps = range(epoch * len(sampler), (epoch + 1) * len(sampler))
        seen = np.concatenate([sampler.indices(step) for step in steps])
        assert len(set(seen.tolist())) == len(seen) == len(sampler) * batch_size


def test_a_batch_is_a_pure_function_of_seed_and_step():
    in_order, jumping = EpochSampler(50, 8, 3), EpochSampler(50, 8, 3)
    expected = [in_order.indices(step).tolist() for step in range(20)]
    for step in (19, 0, 7, 7, 13):
        assert jumping.indices(step).tolist() == expected[step]
    assert EpochSampler(50, 8, 4).indices(0).tolist() != expected[0]
    np.testing.assert_array_equal(augmentation_draws(1, 5, 8, 2), augmentation_draws(1, 5, 8, 2))
    assert not np.array_equal(augmentation_draws(1, 5, 8, 2), augmentation_draws(1, 6, 8, 2))


def test_resident_and_streaming_sources_give_the_same_batches(make_config):
    cfg = make_config()
    data = load_data(cfg)
    sources = [
        make_source(make_config("DATA.SOURCE", kind), data.train, data.class_ids, 1, "cpu")
        for kind in ("resident", "streaming")
    ]
    for step in (0, 1, 2, 7, 3):
        first, second = (source.batch(step) for source in sources)
        for name in ("images", "labels", "cameras", "draws"):
            assert torch.equal(getattr(first, name), getattr(second, name)), name
    assert first.images.shape == (8, 3, 32, 16)
    assert first.images.dtype == torch.uint8


@pytest.mark.parametrize("kind", ["resident", "streaming"])
def test_shards_of_a_batch_make_the_whole_and_read_their_own_images_only(make_config, monkeypatch, kind):
    cfg = make_config("DATA.SOURCE", kind, "SEMI.LABELLED_SHARE", "0.5")
    data = load_data(cfg)
    whole = make_source(cfg, data.train, data.class_ids, 1, "cpu").batch(3)
    shards = [make_source(cfg, data.train, data.class_ids, 1, "cpu", Shard(number, 4)) for number in range(4)]
    if kind == "streaming":
        read, start = [], ReadAhead._start
        monkeypatch.setattr(ReadAhead, "_start", lambda self, rows: read.append(len(rows)) or start(self, rows))
    batches = [shard.batch(3) for shard in shards]
    for name in ("images", "labels", "cameras", "draws"):
        assert torch.equal(torch.cat([getattr(batch, name) for batch in batches]), getattr(whole, name)), name
    assert {float(batch.label_count) for batch in batches} == {float((whole.labels >= 0).sum()) / 4}
    assert whole.label_count is None
    if kind == "streaming":
        assert set(read) == {2}


def test_labels_are_rows_of_the_identity_head(make_config):
    data = load_data(make_config())
    source = make_source(make_config(), data.train, data.class_ids, 1, "cpu")
    batch = source.batch(0)
    rows = source.sampler.indices(0)
    assert [data.class_ids[label] for label in batch.labels.tolist()] == [data.train[row].person_id for row in rows]


def test_a_batch_larger_than_the_data_is_refused(make_config):
    data = load_data(make_config())
    with pytest.raises(UserError, match=r"TRAIN\.BATCH_SIZE: a batch of 100 is larger than the training set of 20"):
        make_source(make_config("TRAIN.BATCH_SIZE", "100"), data.train, data.class_ids, 1, "cpu")


def test_augmentation_matches_its_definition(rng):
    images = torch.from_numpy(rng.integers(0, 256, (5, 3, 6, 4), dtype=np.uint8))
    draws = torch.tensor([[0.1], [0.5], [0.49], [0.9], [0.0]])
    result = augment(images, draws, SPEC)
    for number, flipped in enumerate([True, False, True, False, True]):
        pixels = images[number].double().numpy() / 255
        pixels = pixels[:, :, ::-1] if flipped else pixels
        expected = (pixels - np.array(SPEC.mean)[:, None, None]) / np.array(SPEC.std)[:, None, None]
        np.testing.assert_allclose(result[number], expected, atol=2e-6)


def test_evaluation_has_no_random_operation(rng):
    images = torch.from_numpy(rng.integers(0, 256, (2, 3, 6, 4), dtype=np.uint8))
    plain = AugmentSpec(SPEC.size, SPEC.mean, SPEC.std, flip=0.0)
    assert torch.equal(augment(images, None, SPEC), augment(images, torch.zeros(2, 1), plain))


def test_other_sizes_are_resized_bilinearly(rng):
    images = torch.full((1, 3, 3, 2), 255, dtype=torch.uint8)
    result = augment(images, None, AugmentSpec((6, 4), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
    assert result.shape == (1, 3, 6, 4)
    torch.testing.assert_close(result, torch.ones_like(result))
