"""posterior, flatness and similarity from a run folder to their files."""

from __future__ import annotations

import csv
import json

import pytest


def table(path):
    return list(csv.DictReader(path.open()))


def test_the_entropy_is_that_of_every_network_and_probabilities_fall(command, tiny_run, tmp_path):
    assert command("analyse", "posterior", "--run", tiny_run, "--output", tmp_path, "--top", "3").code == 0
    rows = table(tmp_path / "posterior.csv")
    assert [row["split"] for row in rows] == ["train", "train", "test", "test"]
    assert all(0 < float(row["entropy"]) < 1.61 for row in rows)  # ln 5
    assert all(row["p1"] == "" for row in rows if row["split"] == "test")
    assert all(float(row["p2"]) >= float(row["p3"]) for row in rows if row["split"] == "train")


def test_no_noise_no_rise_and_files_are_untouched(command, tiny_run, tmp_path):
    before = {path: path.read_bytes() for path in tiny_run.glob("*.safetensors")}
    ask = ("analyse", "flatness", "--run", tiny_run, "--output", tmp_path, "--draws", "2", "--sigmas", "0", "0.5")
    for more in ((), ("--recompute",), ("--relative",)):
        assert command(*ask, *more).code == 0
        rows = table(tmp_path / "flatness.csv")
        assert [float(row["mean"]) for row in rows[::2]] == pytest.approx([0, 0], abs=1e-9)
        assert all(float(row["sd"]) > 0 for row in rows[1::2])
    assert before == {path: path.read_bytes() for path in before}


def test_two_members_are_compared_and_one_alone_is_refused(command, tiny_run, tmp_path):
    ask = ("analyse", "similarity", "--output", tmp_path / "out", "--k", "2", "--run")
    assert command(*ask, tiny_run).code == 0
    (row,) = table(tmp_path / "out/similarity.csv")
    assert 0 <= float(row["CKA features"]) <= 1
    assert 0 <= float(row["overlap at 2"]) <= 1
    assert "give --run" in command(*ask[:-1]).error
    assert json.loads((tiny_run / "result.json").read_text())["networks"]
