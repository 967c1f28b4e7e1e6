"""Writing files: what is there stays whole, and what is somebody else's stays."""

from __future__ import annotations

import os

import pytest

from reid_dml.errors import UserError
from reid_dml.files import draft_of, is_draft, remove_drafts, save_folder, write_text
from reid_dml.outputs import check_output
from tests.conftest import killed_draft


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


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "new" / "folder"

    def fail(draft):
        (draft / "a").touch()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        save_folder(folder, fail)
    assert list(folder.parent.iterdir()) == []
    folder.mkdir()  # an empty one may be there
    save_folder(folder, lambda draft: (draft / "a").write_text("1"))
    with pytest.raises(OSError, match="not empty"):
        save_folder(folder, lambda draft: (draft / "a").write_text("2"))
    assert [path.name for path in folder.parent.iterdir()] == ["folder"]
    assert (folder / "a").read_text() == "1"


def test_drafts_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path):
    dead = killed_draft(tmp_path / "folder")
    assert is_draft(dead)
    number = dead.name.removesuffix(".tmp").rpartition("-")[2]
    alive = dead.with_name(dead.name.replace(number, str(os.getppid())))
    elsewhere = dead.with_name(".other" + dead.name.removeprefix(".folder"))
    for path in (alive, elsewhere):
        path.mkdir()
    save_folder(tmp_path / "folder", lambda draft: None)
    assert {*tmp_path.iterdir()} == {tmp_path / "folder", alive, elsewhere}


def test_only_our_own_drafts_are_removed(tmp_path):
    (tmp_path / ".notes.tmp").mkdir()
    (tmp_path / ".todo.tmp").touch()
    draft_of(tmp_path / "step_1").mkdir()
    (tmp_path / ".result.json.reid_dml-0123abcd-7.tmp").touch()
    remove_drafts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.tmp", ".todo.tmp"]
