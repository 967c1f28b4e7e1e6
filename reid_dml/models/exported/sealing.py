"""The digest of a file inside the file: computed with a placeholder where it is to stand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reid_dml.digests import KEY, check_digest, digest_of, verifies

PLACEHOLDER = "sha-256-of-this-file-with-these-words-in-its-place".ljust(64, ".")
_REMEDY = "copy it again, or export it again"


def seal(content: bytes) -> bytes:
    """A file's content with its digest in place of the placeholder, which stands in it once."""
    place = PLACEHOLDER.encode()
    assert content.count(place) == 1
    return content.replace(place, digest_of([content]).encode())


def check_seal(path: Path, about: Mapping[str, str]) -> None:
    """Raise `UserError` if a file is not what was sealed.

    Args:
        path: of the file.
        about: what it says of itself, its digest among it.
    """
    if verifies():
        content = path.read_bytes().replace(about[KEY].encode(), PLACEHOLDER.encode(), 1)
        check_digest(path, digest_of([content]), about[KEY], _REMEDY)
