"""FeatureExtractor: features of anybody's images, equal to those of the commands."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from reid_dml import FeatureExtractor
from reid_dml.data.images import read_image
from reid_dml.data.sets import load_data
from reid_dml.errors import UserError


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


def test_wrong_calls_are_refused(tiny_run, tmp_path, paths):
    extract = FeatureExtractor.from_run(tiny_run)
    with pytest.raises(ValueError, match=r"\[image\]"):
        extract(paths[0])
    with pytest.raises(ValueError, match="got NoneType"):
        extract([None])
    with pytest.raises(ValueError, match=r"\[image\]"):
        extract(np.zeros((8, 8, 3), np.uint8))
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
