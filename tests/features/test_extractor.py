"""FeatureExtractor: features of anybody's images, equal to those of the commands."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from reid_dml import FeatureExtractor
from reid_dml.data.image_paths import image_records
from reid_dml.data.images import read_image
from reid_dml.data.sets import load_data
from reid_dml.data.tables import read_table
from reid_dml.errors import UserError
from reid_dml.features.input_images import InputImages, as_rgb


@pytest.fixture(scope="module")
def paths(tiny_config):
    from reid_dml.config import load_config

    return [record.path for record in load_data(load_config(tiny_config)).query]


def test_paths_arrays_and_pil_images_give_the_same_features(tiny_run, paths):
    extract = FeatureExtractor.from_run(tiny_run, device="cpu")
    features = extract(paths)
    assert features.shape == (len(paths), 512)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(features, extract([read_image(path) for path in paths]))
    np.testing.assert_array_equal(features, extract([Image.open(path) for path in paths]))
    assert len(np.unique(features.round(4), axis=0)) == len(paths)


def test_the_home_folder_stands_for_a_tilde(tiny_run, paths, tmp_path, monkeypatch):
    shutil.copy(paths[0], tmp_path / "photo.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    extract = FeatureExtractor.from_run(tiny_run)
    np.testing.assert_array_equal(extract(["~/photo.png"]), extract(paths[:1]))
    (tmp_path / "list.csv").write_text("path\nphoto.png\n")
    assert [image.path for image in read_table("~/list.csv").images] == [str(tmp_path / "photo.png")]
    for images in ("~", "~/photo.png", "~/list.csv"):
        assert [record.path for record in image_records([images])] == [str(tmp_path / "photo.png")]


def test_the_ensemble_joins_the_networks(tiny_run, paths):
    members = [FeatureExtractor.from_run(tiny_run, network=k)(paths) for k in (0, 1)]
    together = FeatureExtractor.from_run(tiny_run)(paths)
    np.testing.assert_allclose(together, np.hstack(members) / np.sqrt(2), atol=1e-6)


def test_one_weights_file_and_other_sizes_work(tiny_run, tmp_path, rng):
    extract = FeatureExtractor.from_run(tiny_run / "network_1_ema.safetensors")
    images = [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((128, 64), (31, 77), (8, 8))]
    assert extract(images).shape == (3, 256)
    assert extract([]).shape == (0, 256)


def test_a_rotated_photo_is_turned_upright(tiny_run, tmp_path, rng):
    image = rng.integers(0, 256, (16, 32, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    turned = Image.open(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "b.jpg", exif=exif, quality=100, subsampling=0)
    extract = FeatureExtractor.from_run(tiny_run)
    from_path, from_pil = extract([tmp_path / "b.jpg"]), extract([Image.open(tmp_path / "b.jpg")])
    upright = extract([np.rot90(read_image(tmp_path / "a.png"), -1).copy()])
    assert (from_path * upright).sum() > 0.99
    assert (from_pil * upright).sum() > 0.99


def test_features_that_are_not_finite_are_refused_by_name(tiny_run, paths):
    extract = FeatureExtractor.from_run(tiny_run, device="cpu")
    image = read_image(paths[0])
    white = np.full_like(image, 255)

    class Poison(torch.nn.Module):
        def forward(self, pooled):  # only the features of white are not finite
            return torch.where((pooled - self.white).abs().amax(1, keepdim=True) < 1e-4, torch.nan, pooled)

    poison = Poison()
    with torch.no_grad():
        inputs = torch.full((1, 3, *extract.cfg.INPUT.SIZE), 1.0)
        poison.white = extract.networks[1].backbone(inputs).mean((2, 3))
    extract.networks[1].neck = poison
    assert np.isfinite(extract([image, paths[1]])).all()
    with pytest.raises(UserError, match=r"^network 1: features are NaN or infinite, first those of image 3; train"):
        extract([image, paths[1], Image.open(paths[2]), white, image])


def test_a_network_with_broken_weights_is_refused_by_every_way_to_extract(tiny_run, paths, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    file = tmp_path / "run" / "network_0_ema.safetensors"
    weights = load_file(file)
    next(tensor for tensor in weights.values() if tensor.is_floating_point()).fill_(float("nan"))
    save_file(weights, file)
    extract = FeatureExtractor.from_run(tmp_path / "run", device="cpu")
    for extraction in (lambda: extract(paths), lambda: extract.extract(image_records(paths))):
        with pytest.raises(UserError, match=f"network 0: features are NaN or infinite, first those of {paths[0]}"):
            extraction()


def test_grey_images_of_more_than_8_bits(tmp_path, rng):
    deep = rng.integers(0, 65536, (20, 30), dtype=np.uint16)
    upper = np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, 2)
    cv2.imwrite(str(tmp_path / "grey.png"), deep)
    cv2.imwrite(str(tmp_path / "colour.png"), np.dstack([deep, deep.T.reshape(20, 30), 65535 - deep]))
    for name in ("grey.png", "colour.png"):
        opened = Image.open(tmp_path / name)
        np.testing.assert_array_equal(as_rgb(opened), read_image(tmp_path / name))
    assert Image.open(tmp_path / "grey.png").mode == "I;16"
    np.testing.assert_array_equal(as_rgb(Image.open(tmp_path / "grey.png")), upper)
    levels = upper[..., 0]
    for values, expected in (
        (deep.astype(np.int32), upper),
        (deep.astype(np.float32), upper),
        (levels.astype(np.int32), upper),
        (levels.astype(np.float32) + np.float32(0.4), upper),  # up to 255.4, which are of 8 bits still
        (np.zeros((20, 30), np.float32), np.zeros_like(upper)),
    ):
        np.testing.assert_array_equal(as_rgb(Image.fromarray(values)), expected)
    for values, words in (
        (levels.astype(np.int32) - 300, r"mode I must hold grey levels .* got -300 to -45"),
        (deep.astype(np.int32) * 9, r"mode I must hold"),
        (levels / np.float32(255), r"mode F with values from 0 to 1 would be black; multiply it by 255"),
        (np.full((2, 2), np.nan, np.float32), "mode F must hold .* got nan to nan"),
        (np.full((2, 2), 1e9, np.float32), r"mode F must hold .* got 1e\+09"),
    ):
        with pytest.raises(ValueError, match=words):
            as_rgb(Image.fromarray(values))


def test_pil_images_that_cannot_be_decoded_are_refused_by_their_number(tmp_path, rng):
    good = Image.fromarray(rng.integers(0, 256, (64, 32, 3), dtype=np.uint8))
    for name in ("a.jpg", "a.png"):
        good.save(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    (closed := Image.open(tmp_path / "a.png")).close()
    for image, words in (
        (Image.open(tmp_path / "a.jpg"), "cannot be decoded .* may be truncated"),
        (Image.open(tmp_path / "a.png"), "cannot be decoded .* may be truncated"),
        (closed, "cannot be decoded .* or closed"),
        (Image.new("RGB", (0, 5)), "must have pixels, got 0 x 5"),
    ):
        images = InputImages([good, image], (32, 16))
        with pytest.raises(ValueError, match=f"^image 1: a PIL image {words}"):
            images.read([0, 1], np.empty((2, 3, 32, 16), np.uint8))


def test_wrong_calls_are_refused(tiny_run, tmp_path, paths):
    extract = FeatureExtractor.from_run(tiny_run)
    with pytest.raises(ValueError, match=r"\[image\]"):
        extract(paths[0])
    with pytest.raises(ValueError, match="device: must be a text, got NoneType"):
        FeatureExtractor.from_run(tiny_run, device=None)
    with pytest.raises(ValueError, match=r"image 1: .* got NoneType"):
        extract([paths[0], None])
    with pytest.raises(ValueError, match=r"\[image\]"):
        extract(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="records: must be a list of ImageRecord, got int"):
        extract.extract(5)
    with pytest.raises(ValueError, match="records: must be a list of ImageRecord, got one of str"):
        extract.extract(["a.jpg"])
    with pytest.raises(UserError, match="is a folder"):
        extract([tmp_path])
    with pytest.raises(ValueError, match="uint8 RGB"):
        extract([np.zeros((8, 8), np.uint8)])
    with pytest.raises(UserError, match="image not found"):
        extract(["gone.png"])
    with pytest.raises(UserError, match=r"config\.yml: not found; .* is not a run folder"):
        FeatureExtractor.from_run(tmp_path)
    with pytest.raises(UserError, match="network 5 is neither"):
        FeatureExtractor.from_run(tiny_run, network=5)
    shutil.copytree(tiny_run, tmp_path / "run")
    (tmp_path / "run" / "network_0_ema.safetensors").unlink()
    with pytest.raises(UserError, match=r"weights not found|kept no average"):
        FeatureExtractor.from_run(tmp_path / "run")
