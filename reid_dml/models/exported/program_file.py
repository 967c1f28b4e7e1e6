"""Programs of torch.export: a .pt2 archive.

torch's reader unpickles some kinds of entries without restriction, and runs compiled ones; such files are refused
before it sees them. Ours have none: weights are plain bytes.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from reid_dml.digests import KEY, check_digest, digest_of, verifies
from reid_dml.errors import UserError

READERS: tuple[str, ...] = ()
WRITERS: tuple[str, ...] = ()
EXTRA = "export"
TITLE = "torch.export"
ENTRY = "extra/reid_dml.json"
# Entries of an archive, behind the folder they all stand in.
_HARMLESS = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/\w+|models/model\.json|extra/[\w.]+|"
    r"data/sample_inputs/model\.pt|data/(weights|constants)/(model_(weights|constants)_config\.json|(weight|tensor)_\d+)"
)


def read_about(path: Path) -> dict[str, str]:
    """What our entry of the archive says."""
    try:
        with _opened(path) as archive:
            content = json.loads(archive.read(_named(archive, ENTRY)))
    except KeyError:
        return {}
    return {str(key): str(value) for key, value in content.items()} if isinstance(content, dict) else {}


def check(path: Path, about: Mapping[str, str]) -> None:
    """Refuse an archive that is not as it was written, or with entries that torch would run code from."""
    with _opened(path) as archive:
        if verifies():
            check_digest(path, about_digest(archive, about), about[KEY], "copy it again, or export it again")
        if reason := _danger(archive):
            raise UserError(f"{path}: {reason}; it is not opened, because that could run code")


def about_digest(archive: zipfile.ZipFile, about: Mapping[str, str]) -> str:
    """Digest of all entries, in the order of their names, and of what the file says of itself."""

    def parts() -> Iterator[bytes]:
        yield json.dumps({key: value for key, value in about.items() if key != KEY}, sort_keys=True).encode()
        for name in sorted(archive.namelist()):
            if not name.endswith(ENTRY):
                yield name.partition("/")[2].encode()
                yield archive.read(name)

    return digest_of(parts())


def open_file(path: Path, *, device: str, threads: int) -> Callable[[Tensor], Tensor]:
    """The function from images to features.

    Args:
        path: of the file.
        device: where it computes.
        threads: torch's own setting counts.
    """
    program = torch.export.load(path)
    if device != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    module = program.module()

    def compute(images: Tensor) -> Tensor:
        return module(images.to(device, torch.float32))

    return compute


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError) as failure:
        raise UserError(f"{path}: is no whole .pt2 file ({failure}); copy it again, or export it again") from None


def _named(archive: zipfile.ZipFile, entry: str) -> str:
    """The entry's name behind the folder that all stand in. Raises `KeyError` if there is none."""
    return next(iter(name for name in archive.namelist() if name.partition("/")[2] == entry), entry)


def _danger(archive: zipfile.ZipFile) -> str:
    """What torch would run code from; empty where there is nothing."""
    for name in archive.namelist():
        if not _HARMLESS.fullmatch(name.partition("/")[2]):
            return f"holds {name!r}, which is no part of a program of plain tensors"
    try:
        for kind in ("weights", "constants"):
            config = json.loads(archive.read(_named(archive, f"data/{kind}/model_{kind}_config.json")))["config"]
            if any(entry.get("use_pickle", True) for entry in config.values()):
                return f"holds pickled {kind}"
        torch.load(io.BytesIO(archive.read(_named(archive, "data/sample_inputs/model.pt"))), weights_only=True)
    except Exception as failure:  # whatever it is, it is not what we write
        return f"has parts that cannot be checked ({' '.join(str(failure).split())[:100]})"
    return ""
