"""Digests of what is written, compared when it is read: a damaged or exchanged file is refused, not used.

SHA-256: processors with SHA instructions reach 1.4 GB/s with one thread (BLAKE2b 0.8), and whoever has a file can
check it with `sha256sum`. `--no-verify` of every tool, or the environment variable REID_DML_VERIFY=0, leaves the
comparisons out. What has no digest, as everything of earlier versions, is read unchecked.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reid_dml.errors import UserError

KEY = "sha256"
VARIABLE = "REID_DML_VERIFY"  # of the environment, which worker processes and those of torchrun inherit


def verifies() -> bool:
    """Whether digests are compared: always, unless REID_DML_VERIFY is 0."""
    return os.environ.get(VARIABLE, "1") != "0"


def digest_of(parts: Iterable[Any]) -> str:
    """Hexadecimal SHA-256 of buffers, one behind the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def file_digest(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_digest(where: object, found: str, expected: str, remedy: str) -> None:
    """Compare a digest with the one that was written down.

    Args:
        where: what was read, for the message.
        found: its digest now.
        expected: that of its writing.
        remedy: what to do where they differ.

    Raises:
        UserError: they differ.
    """
    if found != expected:
        raise UserError(
            f"{where}: damaged, or exchanged for another file (SHA-256 differs); {remedy}; --no-verify reads it "
            "unchecked"
        )


def check_file(path: Path, expected: str, remedy: str) -> None:
    """`check_digest` of a file, where digests are compared at all.

    Args:
        path: the file.
        expected: its digest.
        remedy: what messages tell to do.
    """
    if verifies():
        check_digest(path, file_digest(path), expected, remedy)


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values for a JSON file with a digest of themselves."""
    return {**values, KEY: _digest_of_values(values)}


def seal_holds(values: Mapping[str, Any]) -> bool:
    """Whether the values of a JSON file are those that were sealed, or never were, or are not to be compared."""
    return KEY not in values or not verifies() or values[KEY] == _digest_of_values(values)


def _digest_of_values(values: Mapping[str, Any]) -> str:
    plain = {key: value for key, value in values.items() if key != KEY}
    return digest_of([json.dumps(plain, sort_keys=True).encode()])
