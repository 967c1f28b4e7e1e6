"""posterior, flatness, similarity and curves from a run folder to their files."""

from __future__ import annotations

import csv
import json
import shutil

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


def test_the_limit_of_pixels_is_that_of_the_options(command, tiny_run, tmp_path):
    ask = ("analyse", "posterior", "--run", tiny_run, "--output", tmp_path)
    assert "more than the 100 pixels of DATA.PIXEL_LIMIT" in command(*ask, "DATA.PIXEL_LIMIT", "100").error


def test_no_noise_no_rise_and_files_are_untouched(command, tiny_run, tmp_path):
    before = {path: path.read_bytes() for path in tiny_run.glob("*.safetensors")}
    ask = ("analyse", "flatness", "--run", tiny_run, "--output", tmp_path, "--draws", "2", "--sigmas", "0", "0.5")
    for more in (("DEVICE", "cpu"), ("--recompute",), ("--relative",)):
        assert command(*ask, *more).code == 0
        rows = table(tmp_path / "flatness.csv")
        assert [float(row["mean"]) for row in rows[::2]] == pytest.approx([0, 0], abs=1e-9)
        assert all(float(row["sd"]) > 0 for row in rows[1::2])
    assert before == {path: path.read_bytes() for path in before}
    assert "--sigmas abacus: must be a number" in command(*ask, "abacus").error
    assert "--sigmas nan: must be a finite number that is not negative" in command(*ask, "nan").error


def test_no_piece_is_of_one_image(command, tiny_run, tmp_path, monkeypatch):
    pieces = []

    def keep(network, batches):
        pieces.extend(len(batch) for batch in batches)

    monkeypatch.setattr("reid_dml.commands.analyse_networks.recompute_batch_norm", keep)
    monkeypatch.setattr("reid_dml.commands.analyse_networks._PIECE", 4)
    ask = ("analyse", "flatness", "--run", tiny_run, "--output", tmp_path, "--draws", "1", "--sigmas", "0")
    assert command(*ask, "--recompute", "--images", "5").code == 0
    assert set(pieces) == {2, 3}


def test_two_members_are_compared_and_one_alone_is_refused(command, tiny_run, tmp_path):
    ask = ("analyse", "similarity", "--output", tmp_path / "out", "--k", "2", "--run")
    assert command(*ask, tiny_run).code == 0
    (row,) = table(tmp_path / "out/similarity.csv")
    assert 0 <= float(row["CKA features"]) <= 1
    assert 0 <= float(row["overlap at 2"]) <= 1
    assert "give --run" in command(*ask[:-1]).error
    assert json.loads((tiny_run / "result.json").read_text())["networks"]


def test_courses_of_runs_that_have_ended_or_not_are_drawn_together(command, tiny_run, tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(tiny_run / "config.yml", begun)
    ask = ("analyse", "curves", "--output", tmp_path / "out", "--run", tiny_run, "--run", begun)
    assert "begun: has no metrics.jsonl: a training writes it" in command(*ask).error
    (begun / "metrics.jsonl").touch()
    assert "holds no line yet" in command(*ask).error
    lines = [json.loads(line) for line in (tiny_run / "metrics.jsonl").read_text().splitlines()][:2]
    lines[1]["test"] = {"networks": [{"mAP": 0.25}, {"mAP": 0.5}]}
    # The last line is cut off, as by a crash.
    (begun / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 6, "ima')
    assert command(*ask).code == 0
    rows = table(tmp_path / "out/curves.csv")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("curves.csv", "curves_loss.svg", "curves_mAP.svg"),
    ]
    assert [list(row.values()) for row in rows if row["quantity"] == "mAP"] == [
        ["mAP", "begun, network 0", "4", "0.25"],
        ["mAP", "begun, network 1", "4", "0.5"],
    ]
    own = [row for row in rows if row["network"] == f"{tiny_run.name}, network 1"]
    assert [row["step"] for row in own] == ["2", "4", "6"]
    assert float(own[0]["value"]) == pytest.approx(lines[0]["networks"][1]["identity"], abs=1e-5)
    assert "begun, network 0" in (tmp_path / "out/curves_mAP.svg").read_text()


def test_courses_are_of_run_folders_and_take_no_options(command, tiny_run, tmp_path):
    ask = ("analyse", "curves", "--output", tmp_path / "out")
    assert "give --run" in command(*ask).error
    assert "not a run folder" in command(*ask, "--run", tmp_path).error
    assert "a second run folder" in command(*ask, "--run", tiny_run, "--run", tiny_run).error
    assert command(*ask, "--run", tiny_run, "DEVICE", "cpu").code == 2
