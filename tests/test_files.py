"""Writing files: what is there stays whole, and what is somebody else's stays."""

from __future__ import annotations

import os

import pytest

from reid_dml.errors import UserError
from reid_dml.files import check_output, draft_of, remove_drafts, write_text


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


@pytest.mark.parametrize(
    ("file", "beside", "owner"),
    [
        ("config.yml", "config.yml", "run"),
        ("result.json", "config.yml", "run"),
        ("network_0_ema.safetensors", "config.yml", "run"),
        ("manifest.json", "manifest.json", "index"),
        ("generation_1/index.faiss", "manifest.json", "index"),
    ],
)
def test_files_of_runs_and_indexes_are_not_written_over(tmp_path, file, beside, owner):
    check_output(tmp_path / file)  # it is not there
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    (tmp_path / beside).touch()
    with pytest.raises(UserError, match=f"is a part of the {owner} in .*; write to another file"):
        check_output(tmp_path / file)
    check_output(tmp_path / "report.json")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "result.json").touch()
    check_output(tmp_path / "elsewhere" / "result.json")
