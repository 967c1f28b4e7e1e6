"""Every command that a document shows is accepted: its sub-command, its arguments and its options."""

from __future__ import annotations

import pytest

from reid_dml.commands.cli import entry
from reid_dml.config import load_config
from tests.conftest import REPOSITORY
from tests.shown_commands import shown_commands

SHOWN = list(shown_commands())


def test_the_documents_show_most_commands():
    assert {"train", "test", "extract", "score", "index", "search", "verify", "calibrate", "analyse", "reproduce"} <= {
        shown.name for shown in SHOWN
    }


@pytest.mark.parametrize("shown", SHOWN, ids=[f"{shown.document}: {shown.line[:90]}" for shown in SHOWN])
def test_a_command_that_is_shown_is_accepted(shown, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    module = entry._module(shown.name)
    seen = []
    monkeypatch.setattr(module, "run", seen.append)
    # A pattern as its last part stands for several files: the shell's work.
    words = [word for part in shown.words for word in [part] * (1 + ("*" in part.rpartition("/")[2]))]
    try:
        entry.call(shown.name, words)
    except SystemExit as error:
        raise AssertionError(f"{shown.line}: refused") from error
    (arguments,) = seen
    options = getattr(arguments, "options", None) or []
    if len(options) > 1 and shown.name in ("train", "test", "extract"):
        load_config("quickstart", options)
