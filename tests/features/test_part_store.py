"""Finished parts on disk: found again, or made anew, never taken for others."""

from __future__ import annotations

import numpy as np
import pytest

from reid_dml.errors import UserError
from reid_dml.features.part_store import PartStore, files_fingerprint


def test_a_part_comes_back_by_number_and_fingerprint(rng, tmp_path):
    store, arrays = PartStore(tmp_path / "parts", "abc"), {"features": rng.normal(size=(3, 2)), "0": np.arange(4)}
    assert store.load(0, ["features"]) is None
    store.save(7, arrays)
    found = PartStore(tmp_path / "parts", "abc").load(7, arrays)
    assert found is not None
    assert found.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values)
    assert store.load(0, ["features"]) is None
    assert PartStore(tmp_path / "parts", "abd").load(7, arrays) is None
    store.remove()
    assert not (tmp_path / "parts").exists()


def test_a_part_that_is_damaged_anywhere_is_made_anew(rng, tmp_path):
    store = PartStore(tmp_path, "abc")
    features = rng.normal(size=(30, 2))
    store.save(0, {"features": features})
    (file,) = tmp_path.glob("*.npz")
    whole = file.read_bytes()
    for length in (0, 1, 10, len(whole) // 2, len(whole) - 20, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert store.load(0, ["features"]) is None, length
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        found = store.load(0, ["features"])  # bytes that say nothing of the values, such as the date, may change
        assert found is None or np.array_equal(found["features"], features), place
    np.save(tmp_path / "array.npy", np.zeros(3))
    file.write_bytes((tmp_path / "array.npy").read_bytes())
    assert store.load(0, ["features"]) is None


def test_a_fingerprint_of_files_names_one_that_is_gone(tmp_path):
    with pytest.raises(UserError, match=r"gone\.png: not found"):
        files_fingerprint([tmp_path / "gone.png"])
