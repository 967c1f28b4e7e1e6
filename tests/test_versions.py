"""The revision that a run record names is that of this project's own checkout."""

from __future__ import annotations

import re
import subprocess

import pytest

from reid_dml import versions
from reid_dml.versions import git_revision


def git(folder, *words):
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit of `reid_dml/versions.py`, and a way to say where the package lies."""
    git(tmp_path, "init", "-q")
    (tmp_path / "reid_dml").mkdir()
    (tmp_path / "reid_dml" / "versions.py").write_text("1\n")
    (tmp_path / "README.md").touch()
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")

    def place(*parts):
        folder = tmp_path.joinpath(*parts, "reid_dml")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "versions.py").touch()
        monkeypatch.setattr(versions, "__file__", str(folder / "versions.py"))

    place()
    return tmp_path, place


def test_the_checkout_s_own_commit_and_its_changes(checkout):
    root, _ = checkout
    revision = git(root, "rev-parse", "--short=12", "HEAD")
    assert re.fullmatch("[0-9a-f]{12}", revision)
    assert git_revision() == revision
    (root / "README.md").write_text("a page computes nothing")
    assert git_revision() == revision
    (root / "reid_dml" / "versions.py").write_text("2\n")
    assert git_revision() == f"{revision}+"


def test_a_foreign_checkout_around_the_package_is_not_named(checkout):
    root, place = checkout
    place(".venv", "lib", "site-packages")
    assert git_revision() == ""
    place("third_party")
    git(root, "add", "third_party")
    git(root, "commit", "-q", "-m", "a copy")
    assert git_revision() == ""


def test_a_package_that_is_not_tracked_has_no_revision(checkout):
    root, _ = checkout
    git(root, "rm", "-q", "--cached", "reid_dml/versions.py")
    git(root, "commit", "-q", "-m", "gone")
    assert git_revision() == ""


def test_outside_a_checkout_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "__file__", str(tmp_path / "reid_dml" / "versions.py"))
    assert git_revision() == ""
