"""Every command that a document shows is accepted: its sub-command, its arguments and its options."""

from __future__ import annotations

import re
import shlex

import pytest

from reid_dml.called import TOOLS
from reid_dml.commands.cli import entry
from reid_dml.config import load_config
from tests.conftest import REPOSITORY

DOCUMENTS = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "datasets" / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
COMMANDS = {f"tools/{tool}.py": name for name, tool in TOOLS.items()}
ENDS = {"&&", "|", ";", ">", "#", "&"}


def shown_commands():
    """(document, sub-command, its words) of every line of a shell block that calls one of ours."""
    for document in DOCUMENTS:
        for block in re.findall(r"^```(?:sh|bash|console)?\n(.*?)^```", document.read_text(), re.S | re.M):
            for line in block.replace("\\\n", " ").splitlines():
                if not re.search(r"tools/\w+\.py|reid-dml|-m reid_dml", line):
                    continue
                words = shlex.split(re.sub(r"(?<=\s)#.*", "", line), comments=False)
                for place, word in enumerate(words):
                    called = COMMANDS.get(word.removeprefix("./"))
                    if word == "reid-dml" or words[max(place - 1, 0) : place + 1] == ["-m", "reid_dml"]:
                        called, place = (words[place + 1] if words[place + 1 :] else "-"), place + 1
                    if (
                        called
                        and "..." not in words
                        and "…" not in words
                        and called not in ENDS | {"-", "--version", "--help"}
                    ):
                        rest = words[place + 1 :]
                        end = next((number for number, text in enumerate(rest) if text in ENDS), len(rest))
                        typed = [
                            text for part in rest[:end] for text in ([part] * (1 + ("*" in part.rpartition("/")[2])))
                        ]  # the shell's work
                        yield pytest.param(called, typed, id=f"{document.name}: {' '.join(words)[:90]}")


SHOWN = list(shown_commands())


def test_the_documents_show_most_commands():
    assert {"train", "test", "extract", "score", "index", "search", "verify", "calibrate", "analyse", "reproduce"} <= {
        parameters.values[0] for parameters in SHOWN
    }


@pytest.mark.parametrize(("name", "words"), SHOWN)
def test_a_command_that_is_shown_is_accepted(name, words, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    module = entry._module(name)
    seen = []
    monkeypatch.setattr(module, "run", seen.append)
    try:
        entry.call(name, words)
    except SystemExit as error:
        raise AssertionError(f"{name} {' '.join(words)}: refused") from error
    (arguments,) = seen
    options = getattr(arguments, "options", None) or []
    if len(options) > 1 and name in ("train", "test", "extract"):
        load_config("quickstart", options)
