"""What only some commands need is missed in one line that says what to install."""

from __future__ import annotations

import tomllib

import pytest

from reid_dml.errors import UserError
from reid_dml.extras import require
from tests.conftest import REPOSITORY


def test_a_missing_package_is_refused_with_its_extra():
    with pytest.raises(UserError, match=r"^maps: needs the package no_such_thing, .* pip install 'reid_dml\[viz\]'"):
        require("no_such_thing.inside", "viz", "maps")


def test_a_package_that_lacks_something_itself_is_not_called_missing(monkeypatch, tmp_path):
    (tmp_path / "broken_one.py").write_text("import no_such_thing")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_thing"):
        require("broken_one", "viz", "maps")


def test_tsne_says_so_before_it_works(command, monkeypatch, tmp_path):
    def missing(name):
        raise ModuleNotFoundError(name="sklearn")

    monkeypatch.setattr("reid_dml.extras.import_module", missing)
    result = command("analyse", "tsne", "--run", tmp_path / "not_even_looked_at", "--output", tmp_path / "out")
    assert "needs the package sklearn, which is not installed: pip install 'reid_dml[viz]'" in result.error


def test_no_extra_is_empty_and_dev_has_those_that_tests_need():
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert all(extras.values())
    assert {"viz", "completion"} <= {*extras}
