"""The examples run, and what they teach is learnt."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reid_dml import FeatureExtractor
from reid_dml.config import load_config
from reid_dml.data.image_paths import image_records
from reid_dml.data.sets import load_data
from reid_dml.errors import UserError
from reid_dml.features.formats import read_features
from tests.conftest import REPOSITORY


def test_in_the_plain_loop_the_loss_of_both_networks_falls(capsys):
    history = runpy.run_path(str(REPOSITORY / "examples" / "plain_loop.py"))["main"]()
    for first, last in zip(history[0], history[-1], strict=True):
        assert last < 0.5 * first
    assert capsys.readouterr().out.count("epoch ") == len(history)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--run", "nowhere"], "nowhere: not found; name a run folder of reid-dml train"),
        (["--similarity", "75"], "--similarity 75.0: a cosine similarity lies between -1 and 1"),
        (["--similarity", "high"], "invalid float value: 'high'"),
    ],
)
def test_the_tracker_refuses_in_a_line(tmp_path, words, said):
    script = REPOSITORY / "examples" / "tracker.py"
    done = subprocess.run([sys.executable, script, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]


def test_a_ray_cluster_gives_the_same_features(tiny_run, tiny_config, tmp_path):
    pytest.importorskip("ray.data")
    images = Path(load_data(load_config(tiny_config)).root) / "query"
    extract = runpy.run_path(str(REPOSITORY / "examples" / "ray_features.py"))["extract"]
    for _ in range(2):  # the second time nothing is missing
        count = extract(str(tiny_run), [str(images)], str(tmp_path), workers=2, batch=3)
    parts = [read_features(file) for file in sorted(tmp_path.glob("*.parquet"))]
    whole = FeatureExtractor.from_run(tiny_run).extract(image_records([images]))
    assert count == len(whole) == sum(map(len, parts))
    np.testing.assert_allclose(np.concatenate([part.features for part in parts]), whole.features, atol=1e-6)
    with pytest.raises(UserError, match="parts of other images or networks"):
        extract(str(tiny_run), [str(images)], str(tmp_path), workers=2, batch=4)
    assert np.concatenate([part.paths for part in parts]).tolist() == whole.paths.tolist()
