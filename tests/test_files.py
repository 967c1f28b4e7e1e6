"""Writing files: what is there stays whole, and what is somebody else's stays."""

from __future__ import annotations

import os

import pytest

from reid_dml.errors import UserError
from reid_dml.files import draft_of, remove_drafts, write_text
from reid_dml.outputs import check_output


def test_a_link_stays_and_leads_to_what_was_written(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.json"
    link.symlink_to("there/file.json")
    for text in ("new", "newer"):
        write_text(link, text)
        assert link.is_symlink()
        assert (tmp_path / "there" / "file.json").read_text() == text


def test_a_pipe_is_not_made_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for write in (check_output, lambda path: write_text(path, "text")):
        with pytest.raises(UserError, match="pipe: is a device or pipe; name a file to write"):
            write(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_only_our_own_drafts_are_removed(tmp_path):
    (tmp_path / ".notes.tmp").mkdir()
    (tmp_path / ".todo.tmp").touch()
    draft_of(tmp_path / "step_1").mkdir()
    (tmp_path / ".result.json.reid_dml-0123abcd-7.tmp").touch()
    remove_drafts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.tmp", ".todo.tmp"]
