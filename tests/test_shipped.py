"""Configs that come along are found by name, wherever one is."""

from __future__ import annotations

import pytest

from reid_dml.config import load_config
from reid_dml.errors import UserError
from reid_dml.shipped import SHIPPED, find_config, shipped_names
from tests.conftest import REPOSITORY


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_they_are_those_of_the_checkout():
    assert SHIPPED.resolve() == REPOSITORY / "configs"
    assert {"quickstart", "market_mobilenet_dml", "cifar/quickstart", "scales/small_market"} <= {*shipped_names()}


def test_a_name_is_the_file(tmp_path):
    by_name, by_path = load_config("quickstart"), load_config(REPOSITORY / "configs" / "quickstart.yml")
    assert by_name == by_path
    assert (by_name.EXPERIMENT, by_name.OUTPUT_DIR) == ("quickstart", "runs/quickstart")


def test_a_name_may_stand_behind_another_and_in_a_folder():
    cfg = load_config(["market_mobilenet_dml", "scales/smoke_market"])
    assert (cfg.EXPERIMENT, cfg.SCALE) == ("market_mobilenet_dml", "smoke")


def test_a_file_of_that_name_goes_first_and_a_folder_does_not(tmp_path):
    (tmp_path / "market_mobilenet_dml").mkdir()
    assert find_config("market_mobilenet_dml").parent == SHIPPED
    (tmp_path / "quickstart").write_text("SEED: 7")
    assert load_config("quickstart").SEED == 7


def test_the_home_folder_stands_for_a_tilde(tmp_path, monkeypatch):
    (tmp_path / "my.yml").write_text("SEED: 5")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_config("~/my.yml") == tmp_path / "my.yml"
    with pytest.raises(UserError, match=f"{tmp_path}/mine.yml: no such config file; did you mean"):
        find_config("~/mine.yml")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("quikstart", r"quikstart: no config of this name comes along, .* did you mean quickstart\?"),
        ("nothing_like_it", "there are market_mobilenet_base, .*, quickstart$"),
        ("configs/quickstart.yml", "/configs/quickstart.yml: no such config file; did you mean quickstart, which"),
        ("mime.yml", r"/mime.yml: no such config file; did you mean mine.yml\?"),
        ("x/y.txt", "/x/y.txt: no such config file$"),
    ],
)
def test_what_is_neither_is_refused_with_what_is_near(tmp_path, name, words):
    (tmp_path / "mine.yml").write_text("")
    with pytest.raises(UserError, match=words):
        find_config(name)
