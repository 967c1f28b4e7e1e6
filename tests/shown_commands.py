"""The commands of ours that the documents show, as words of a command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from reid_dml.called import TOOLS
from tests.conftest import REPOSITORY

DOCUMENTS = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "datasets" / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
_COMMANDS = {f"tools/{tool}.py": name for name, tool in TOOLS.items()}
_ENDS = {"&&", "|", ";", ">", "#", "&"}
_SHELL = {"", "sh", "bash", "console", "ini"}  # kinds of blocks; ini: a unit of systemd
_NO_COMMAND = {None, "--version", "--help"}


class Shown(NamedTuple):
    """A call of a command."""

    document: str  # its file's name
    line: str  # as shown, whole
    name: str  # of the sub-command
    words: list[str]  # its arguments; patterns of files as they are


def shown_commands(documents: Sequence[Path] = DOCUMENTS) -> Iterator[Shown]:
    """The calls in the shell blocks of documents, in their order; lines with ... are no calls."""
    for document in documents:
        for kind, block in re.findall(r"^```(\S*)\n(.*?)^```", document.read_text(), re.S | re.M):
            for line in block.replace("\\\n", " ").splitlines() if kind in _SHELL else ():
                if re.search(r"tools/\w+\.py|reid-dml|-m reid_dml", line):
                    yield from _calls(document.name, line)


def _calls(document: str, line: str) -> Iterator[Shown]:
    words = shlex.split(re.sub(r"(?<=\s)#.*", "", line))
    if {"...", "…"} & set(words):
        return
    for place, word in enumerate(words):
        called = None
        if re.fullmatch(r"(\./)?tools/\w+\.py", word):
            called = _COMMANDS.get(word.removeprefix("./"), word)  # a script that there is not stays as it is
        if word.rpartition("/")[2] == "reid-dml" or words[max(place - 1, 0) : place + 1] == ["-m", "reid_dml"]:
            place += 1
            called = words[place] if words[place:] and words[place] not in _ENDS else None
        if called not in _NO_COMMAND:
            rest = words[place + 1 :]
            end = next((number for number, text in enumerate(rest) if text in _ENDS), len(rest))
            yield Shown(document, " ".join(words), called, rest[:end])
