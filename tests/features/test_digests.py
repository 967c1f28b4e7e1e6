"""Feature files that were changed behind their writer's back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.io import loadmat, savemat

from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.formats import read_features, write_features
from reid_dml.features.names import Names


@pytest.fixture
def features():
    values = np.random.default_rng(0).standard_normal((20, 8), np.float32)
    return FeatureSet(
        values, np.arange(20), np.arange(20) % 3, np.array([f"{row} é.jpg" for row in range(20)]), "m" * 32
    )


def flip_feature(path, features):
    data = bytearray(path.read_bytes())
    data[data.index(features.features[3, :1].tobytes())] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("kind", ["npz", "parquet", "mat"])
def test_a_flipped_bit_of_a_feature_is_refused(features, tmp_path, kind):
    path = tmp_path / f"f.{kind}"
    write_features(features, path)
    assert read_features(path).digest() == features.digest()
    flip_feature(path, features)
    with pytest.raises(UserError, match=rf"f\.{kind}: (damaged|not a whole)"):
        read_features(path)


def test_a_camera_lost_by_damage_is_refused_and_a_foreign_file_is_read(features, tmp_path, monkeypatch):
    path = tmp_path / "f.mat"
    write_features(features, path)
    content = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    del content["cam"]
    savemat(path, content)
    with pytest.raises(UserError, match=r"f\.mat: damaged, or exchanged .* if you changed it yourself, remove"):
        read_features(path)
    with monkeypatch.context() as patch:
        patch.setenv("REID_DML_VERIFY", "0")
        assert (read_features(path).camera_ids == -1).all()
    del content["sha256"]
    savemat(path, content)
    assert (read_features(path).camera_ids == -1).all()


def test_a_command_reads_unchecked_what_it_is_told_to(features, tmp_path, command, monkeypatch):
    path, files = tmp_path / "f.parquet", ("convert_features", tmp_path / "f.parquet", tmp_path / "f.npz")
    write_features(features, path)
    table = pq.read_table(path)
    pq.write_table(table.set_column(1, "person_id", [np.arange(20) + 1]), path)
    assert "SHA-256 differs" in (error := command(*files).error)
    assert "--no-verify reads it unchecked" in error
    monkeypatch.setenv("REID_DML_VERIFY", "1")  # undone with what the command sets
    assert command(*files, "--no-verify").code == 0
    assert read_features(tmp_path / "f.npz").person_ids.tolist() == list(range(1, 21))


def test_a_digest_covers_times_and_names_and_is_that_of_earlier_files_without_them():
    ids = np.array([1, 2, 0]), np.array([0, 1, -1])
    features = FeatureSet(np.eye(3, dtype=np.float32), *ids, np.array(["a", "é", "c"]), "m" * 32)
    assert features.digest() == "fd2361bffd93016538df22f6c6d000738c9283594f30921a9a91ad10d5611235"
    timed = replace(features, times=np.array("2026-01-31"))
    named = replace(features, names=Names({2: "anna"}))
    assert len({one.digest() for one in (features, timed, named, replace(timed, names=named.names))}) == 4


def test_a_parquet_file_of_somebody_else_is_read(features, tmp_path):
    path = tmp_path / "f.parquet"
    write_features(features, path)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    assert read_features(path).features.tobytes() == features.features.tobytes()


def test_a_header_that_numpy_cannot_even_tokenize_is_refused(features, tmp_path):
    path = tmp_path / "f.npz"
    write_features(features, path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"), }", b"(, }"))
    with pytest.raises(UserError, match=r"f\.npz: not a whole \.npz file"):
        read_features(path)
