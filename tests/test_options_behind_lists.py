"""`KEY VALUE ...` behind an argument of several values are options, not values."""

from __future__ import annotations

from argparse import Namespace

import pytest

from reid_dml.commands.cli.entry import _KEY, _SECTIONS, take_options
from reid_dml.config import load_config


@pytest.mark.parametrize(
    ("taken", "left", "options"),
    [
        (["photos", "DEVICE", "cpu"], ["photos"], ["DEVICE", "cpu", "SEED", "1"]),
        (["a", "b", "INPUT.SIZE", "[64, 32]"], ["a", "b"], ["INPUT.SIZE", "[64, 32]", "SEED", "1"]),
        (["photos", "ANNA", "a.B"], ["photos", "ANNA", "a.B"], ["SEED", "1"]),  # names of anything else
        (["a.jpg", "DSC_0001.JPG", "J.DOE"], ["a.jpg", "DSC_0001.JPG", "J.DOE"], ["SEED", "1"]),
        (["DEVICE", "cpu"], ["DEVICE", "cpu"], ["SEED", "1"]),  # nothing else would be left: refused as a value
        (["photos", "DATA.ROOT"], ["photos", "DATA.ROOT"], ["SEED", "1"]),  # a file of this name
    ],
)
def test_they_are_given_back(taken, left, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "DATA.ROOT").touch()
    arguments = Namespace(images=taken, options=["SEED", "1"], number=3, nothing=None)
    take_options(arguments)
    assert (arguments.images, arguments.options) == (left, options)


def test_a_command_without_options_keeps_its_values():
    arguments = Namespace(query=["q.npz", "DEVICE", "cpu"])
    take_options(arguments)
    assert arguments.query == ["q.npz", "DEVICE", "cpu"]


def test_a_command_reads_them(command, tiny_run, data_root, tmp_path):
    (folder,) = data_root.glob("synthetic-pedestrians-*/query")
    ask = ("build_index", "--index", tmp_path / "i", "--run", tiny_run, "--images", folder)
    assert command(*ask, "DEVICE", "cpu").code == 0
    assert "DEVICE" in command("build_index", "--index", tmp_path / "j", *ask[3:], "DEVICE", "abacus").error


def test_the_names_are_those_of_the_config():
    cfg = load_config("quickstart")
    sections = {name for name, value in cfg.items() if hasattr(value, "items")}
    assert sections == set(_SECTIONS)
    top = set(cfg) - sections
    found = {name for name in top if _KEY.fullmatch(name)}
    assert top - found == {"CONTROL", "EXPECTED"}  # which say what a config is about, and are never typed
