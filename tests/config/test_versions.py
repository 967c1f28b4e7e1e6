"""Configs of earlier versions: renamed, removed and added options."""

from __future__ import annotations

import pytest

from reid_dml.config import load_config, versions
from reid_dml.errors import UserError


@pytest.fixture
def changed(monkeypatch):
    """As if options had been renamed, removed and added since."""
    monkeypatch.setattr(versions, "CONFIG_VERSION", 3)
    monkeypatch.setattr(
        versions,
        "RENAMED",
        {2: {"TRAIN.ITERATIONS": "TRAIN.LENGTH", "LENGTHS.INPUT": "INPUT.PAD"}, 3: {"TRAIN.LENGTH": "TRAIN.STEPS"}},
    )
    monkeypatch.setattr(versions, "REMOVED", {2: {"MODEL.TRICK": False, "TRICKS.ALL": 1}})
    monkeypatch.setattr(versions, "ADDED", {3: {"INPUT.FLIP": 0.0}})


def load(tmp_path, text, **options):
    path = tmp_path / "config.yml"
    path.write_text(text)
    return load_config(path, **options)


def test_an_old_run_keeps_what_it_did(tmp_path, changed):
    cfg = load(tmp_path, "TRAIN: {ITERATIONS: 7}\nMODEL: {TRICK: false}", version=0)
    assert (cfg.TRAIN.STEPS, cfg.INPUT.FLIP) == (7, 0.0)
    # Sections that are gone altogether, too.
    assert load(tmp_path, "LENGTHS: {INPUT: 3}\nTRICKS: {ALL: 1}", version=0).INPUT.PAD == 3
    cfg = load(tmp_path, "VERSION: 2\nTRAIN: {LENGTH: 8}")
    assert (cfg.TRAIN.STEPS, cfg.INPUT.FLIP) == (8, 0.0)
    assert load(tmp_path, "VERSION: 3\nTRAIN: {STEPS: 9}").INPUT.FLIP == 0.5


def test_a_file_written_by_hand_may_use_old_names_and_gets_today_s_defaults(tmp_path, changed):
    cfg = load(tmp_path, "TRAIN: {ITERATIONS: 7}")
    assert (cfg.TRAIN.STEPS, cfg.INPUT.FLIP) == (7, 0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("MODEL: {TRICK: true}", "MODEL.TRICK: True is gone since config version 2"),
        ("VERSION: 4", "written by a newer version of reid_dml"),
        ("VERSION: new", "VERSION takes a whole number"),
        ("VERSION:", "VERSION takes a whole number"),
        ("TRAIN: 3\nLENGTHS: {INPUT: 3}", "TRAIN is a section of options"),
        ("VERSION: 3\nTRAIN: {LENGTH: 7}", "unknown option TRAIN.LENGTH; it is called TRAIN.STEPS now"),
        ("VERSION: 3\nMODEL: {TRICK: true}", "unknown option MODEL.TRICK; it is gone, leave it out"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, changed, text, words):
    with pytest.raises(UserError, match=words):
        load(tmp_path, text)


def test_an_old_name_on_the_command_line_is_told_the_new_one(tmp_path, changed):
    with pytest.raises(UserError, match=r"TRAIN\.LENGTH; it is called TRAIN\.STEPS now"):
        load(tmp_path, "", overrides=["TRAIN.LENGTH", "5"])
