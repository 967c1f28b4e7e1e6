"""Searching a feature file waits for neither torch nor the networks."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from reid_dml.features import FeatureSet
from reid_dml.features.formats import write_features
from reid_dml.search import Gallery
from tests.conftest import REPOSITORY


def heavy_modules(code, *arguments):
    """Which of the slow libraries are loaded after running some code in a new process."""
    code += "\nimport sys; print('loaded', *({'torch', 'torchvision', 'timm', 'matplotlib'} & {*sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize(
    "code",
    [
        "from reid_dml.search import Gallery",
        "import reid_dml.search.sources",
        "import reid_dml.search.nearest",
        "import reid_dml.features.validation, reid_dml.features.formats",
        "import reid_dml.ranking.metrics, reid_dml.ranking.scoring, reid_dml.ranking.ranked_list",
        "from reid_dml.commands import calibrate, index, score, search",
    ],
)
def test_the_rooms_of_retrieval_load_no_torch(code):
    assert heavy_modules(code) == []


def test_building_and_searching_an_index_of_feature_files_loads_no_torch(rng, tmp_path):
    features = FeatureSet(
        rng.normal(size=(9, 4)).astype(np.float32), np.arange(9), np.arange(9), [f"{row}.jpg" for row in range(9)]
    )
    features.save(tmp_path / "f.npz")
    write_features(features, tmp_path / "f.parquet")
    run = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as ended:
    assert not ended.code
"""
    index, file = tmp_path / "i", tmp_path / "f.npz"
    for tool, more in (
        ("build_index", ["--features", file]),
        ("search_gallery", ["--query", tmp_path / "f.parquet", "--k", 2, "--json", tmp_path / "found.json"]),
    ):
        assert heavy_modules(run, REPOSITORY / "tools" / f"{tool}.py", "--index", index, *more) == []
    assert len(Gallery.open(index)) == 9
    answers = json.loads((tmp_path / "found.json").read_text())["answers"]
    assert [answer["images"][0]["path"] for answer in answers] == features.paths.tolist()
    assert answers[2]["query"] == {"path": "2.jpg", "person_id": 2, "camera_id": 2}
