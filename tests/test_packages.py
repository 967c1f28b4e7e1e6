"""Every folder of the packages is a package, and git ignores nothing that is written there."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import REPOSITORY

FOLDERS = sorted({path.parent for package in ("reid_dml", "tests") for path in (REPOSITORY / package).rglob("*.py")})


def test_every_folder_of_a_package_is_one():
    assert REPOSITORY / "reid_dml" / "runs" in FOLDERS
    assert [folder for folder in FOLDERS if not (folder / "__init__.py").is_file()] == []


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="not a git checkout")
def test_git_and_the_linters_see_every_file_of_a_package():
    names = [str((folder / "new_file.py").relative_to(REPOSITORY)) for folder in FOLDERS]
    command = ["git", "-C", REPOSITORY, "check-ignore", "--no-index", *names]
    ignored = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ignored.stdout, ignored.returncode) == ("", 1)  # 1: none is ignored
