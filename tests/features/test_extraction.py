"""Features of many images: any number of threads gives them in order, and an interruption costs nothing."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from reid_dml.commands.extract import extract_images
from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.records import ImageRecord
from reid_dml.data.sets import load_data
from reid_dml.data.stored import ImageFiles
from reid_dml.errors import UserError
from reid_dml.features.extraction import extract_features
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.part_store import PartStore
from reid_dml.features.resumable import open_store
from reid_dml.inference import forward
from reid_dml.inference.speed import Speed
from reid_dml.models import ReIDNetwork
from reid_dml.runs.networks import load_networks


@pytest.fixture
def networks(make_config, tiny_run):
    return load_networks(make_config(), tiny_run, "cpu")


@pytest.fixture
def images(make_config):
    data = load_data(make_config())
    return ImageFiles([*data.train, *data.gallery, *data.query], (32, 16))


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_that_take_different_images_keep_their_order(networks, images, make_config, threads, monkeypatch):
    spec = AugmentSpec.of(make_config())
    expected = extract_features(networks, images, spec, device="cpu")
    monkeypatch.setattr(forward, "_CPU_IMAGES", 3)
    torch.set_num_threads(threads)
    speed = Speed()
    found = extract_features(networks, images, spec, device="cpu", batch_size=7, speed=speed)
    assert torch.get_num_threads() == threads
    for index in networks:
        np.testing.assert_allclose(found[index], expected[index], atol=1e-5)
        assert len(np.unique(expected[index].round(3), axis=0)) > len(images) // 2  # not all alike
    assert speed.images == len(images)
    assert 0 <= speed.waiting <= speed.seconds
    assert " images/s, " in str(speed)


def test_features_that_are_not_finite_are_refused_by_name(networks, images, make_config):
    with torch.no_grad():
        networks[1].neck = torch.nn.Threshold(1e9, float("nan"))
    with pytest.raises(
        UserError, match=f"network 1: features are NaN or infinite, first those of {images.records[0].path}"
    ):
        extract_features(networks, images, AugmentSpec.of(make_config()), device="cpu")


def test_an_unreadable_image_ends_it_by_name(networks, images, make_config, tmp_path):
    records = [*images.records, ImageRecord(str(tmp_path / "gone.png"), 1, 1)]
    torch.set_num_threads(2)
    with pytest.raises(UserError, match=r"gone\.png: image not found"):
        extract_features(networks, ImageFiles(records, (32, 16)), AugmentSpec.of(make_config()), device="cpu")


def test_an_interrupted_extraction_goes_on_where_it_stopped(make_config, tiny_run, tmp_path, monkeypatch, caplog):
    cfg = make_config("MODEL.WEIGHTS", str(tiny_run), "TEST.BATCH_SIZE", "4")
    folder = load_data(cfg).root
    whole = extract_images(cfg, [folder], tmp_path / "whole.npz")
    asked, read = [], ImageFiles.read
    monkeypatch.setattr(ImageFiles, "read", lambda self, rows, out: (asked.extend(rows), read(self, rows, out)))
    saved, save = [], PartStore.save

    def save_and_die(store, part, arrays):
        save(store, part, arrays)
        saved.append(store._file(part))
        if len(saved) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(PartStore, "save", save_and_die)
    output = tmp_path / "features.npz"
    with pytest.raises(KeyboardInterrupt):
        extract_images(cfg, [folder], output)
    assert not output.exists()
    monkeypatch.setattr(PartStore, "save", save)
    saved[1].write_bytes(saved[1].read_bytes()[:-20])  # a damaged part is done again
    del asked[:]
    with caplog.at_level("INFO", logger="reid_dml"):
        extract_images(cfg, [folder], output)
    assert "8 images were done before" in caplog.text
    assert len(asked) == len(whole) - 8
    found = FeatureSet.load(output)
    np.testing.assert_array_equal(found.features, whole.features)
    assert found.paths.tolist() == whole.paths.tolist()
    assert not list(tmp_path.glob(".*parts"))


def test_parts_of_other_networks_or_images_are_not_taken(make_config, images, tmp_path):
    spec = AugmentSpec.of(make_config())

    def fingerprint(images=images, spec=spec, model="one", batch_size=4):
        return open_store(tmp_path, images, spec, model=model, batch_size=batch_size).fingerprint

    same = fingerprint()
    assert fingerprint() == fingerprint(spec=replace(spec, flip=0.3, erase=0.9)) == same  # in training only
    assert fingerprint(spec=replace(spec, test_compile="True")) == same
    others = [
        fingerprint(model="other"),
        fingerprint(batch_size=5),
        fingerprint(images.at(np.arange(3))),
        fingerprint(ImageFiles(images.records, (48, 16))),
        fingerprint(spec=replace(spec, size=(48, 16))),
        fingerprint(spec=replace(spec, test_flip=True)),
    ]
    changed = tmp_path / "image.png"
    shutil.copy(images.records[0].path, changed)
    for age in (10**9, 2 * 10**9):
        os.utime(changed, ns=(age, age))
        others.append(fingerprint(ImageFiles([ImageRecord(str(changed), 1, 1)], (32, 16))))
    assert len({same, *others}) == 9


def test_parts_of_a_wrong_option_are_not_taken_once_it_is_right(make_config, tiny_run, tmp_path, monkeypatch):
    right, wrong = (
        make_config("MODEL.WEIGHTS", str(tiny_run), "TEST.BATCH_SIZE", "4", *options)
        for options in ((), ("MODEL.LAST_STRIDE", "1"))
    )
    folder, save = load_data(right).root, PartStore.save
    expected = extract_images(right, [folder], tmp_path / "expected.npz").features

    def save_and_die(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(PartStore, "save", save_and_die)
    with pytest.warns(UserWarning, match="trained otherwise"), pytest.raises(KeyboardInterrupt):
        extract_images(wrong, [folder], tmp_path / "features.npz")
    monkeypatch.setattr(PartStore, "save", save)
    np.testing.assert_array_equal(extract_images(right, [folder], tmp_path / "features.npz").features, expected)


def test_flipping_averages_the_image_and_its_mirror_image(networks, images, make_config, rng):
    stored = [torch.from_numpy(rng.integers(0, 256, (3, 3, 32, 16), dtype=np.uint8))]
    mirrored = [stored[0].flip(3)]
    spec, both = (AugmentSpec.of(make_config("TEST.FLIP", flip)) for flip in ("False", "True"))
    own, other, mean = (
        next(forward.forward_batches(networks, batch, how, "cpu"))
        for batch, how in ((stored, spec), (mirrored, spec), (stored, both))
    )
    for index in networks:
        torch.testing.assert_close(mean[index].features, (own[index].features + other[index].features) / 2)
        torch.testing.assert_close(mean[index].logits, (own[index].logits + other[index].logits) / 2)


@pytest.fixture
def compiled_shapes(monkeypatch):
    """The shapes of the inputs of each function that went through torch.compile."""
    seen, compiling = [], torch.compile

    def watched(function, **options):
        compiled, shapes = compiling(function, **options), []
        seen.append(shapes)

        def call(inputs):
            shapes.append(tuple(inputs.shape))
            return compiled(inputs)

        return call

    monkeypatch.setattr(torch, "compile", watched)
    return seen


@pytest.mark.parametrize(
    ("policy", "count", "device", "expected"),
    [
        ("auto", 19_281, "cuda", False),  # Market-1501's test images would not pay for it
        ("auto", 1_000_000, "cuda", True),
        ("auto", 1_000_000, "cpu", False),
        ("yes", 1, "cpu", True),
        ("False", 1_000_000, "cuda", False),
    ],
)
def test_many_images_on_a_gpu_are_worth_compiling_for(
    networks, make_config, compiled_shapes, policy, count, device, expected
):
    spec = AugmentSpec.of(make_config("TEST.COMPILE", policy))
    assert not list(forward.forward_batches(networks, [], spec, device, count=count))
    assert len(compiled_shapes) == (len(networks) if expected else 0)


@pytest.fixture
def small_network():
    backbone = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2), torch.nn.BatchNorm2d(4), torch.nn.ReLU())
    backbone.num_features = 4
    return ReIDNetwork(backbone, 5, neck="bn")


def plain_and_compiled(network, make_config):
    """Outputs of three batches, the last one smaller, without and with torch.compile."""
    batches = [torch.randint(0, 255, (size, 3, 34, 18), dtype=torch.uint8) for size in (8, 8, 3)]
    for policy in ("False", "True"):
        spec = AugmentSpec.of(make_config("TEST.FLIP", "True", "TEST.COMPILE", policy))
        yield [output[0] for output in forward.forward_batches({0: network}, batches, spec, "cpu")]


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_networks_give_the_same_features(small_network, make_config, compiled_shapes, caplog):
    plain, compiled = plain_and_compiled(small_network, make_config)
    torch.testing.assert_close(compiled, plain)
    assert small_network.training
    assert compiled_shapes == [[(8, 3, 32, 16)] * 4]  # images and mirror images; not the smaller batch
    assert "goes on without torch.compile" not in caplog.text


def test_networks_that_cannot_be_compiled_go_on_as_they_are(small_network, make_config, monkeypatch, caplog):
    def fails(function, **options):
        def call(inputs):
            raise torch._dynamo.exc.Unsupported("an operator that nobody knows")

        return call

    monkeypatch.setattr(torch, "compile", fails)
    plain, compiled = plain_and_compiled(small_network, make_config)
    assert all(torch.equal(one.features, other.features) for one, other in zip(compiled, plain, strict=True))
    assert caplog.text.count("evaluation goes on without torch.compile: an operator that nobody knows") == 1
