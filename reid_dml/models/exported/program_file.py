"""Programs of torch.export: a .pt2 archive.

torch's reader runs code that a file brings along; such files are refused before it sees them, see `program_check`. It
is given what was checked, as an archive of its own: another reader of zip files may see other entries in the same file.
"""

from __future__ import annotations

import io
import json
import logging
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from reid_dml.digests import KEY, check_digest, digest_of, verifies
from reid_dml.errors import UserError
from reid_dml.models.exported.program_check import danger

READERS: tuple[str, ...] = ()
WRITERS: tuple[str, ...] = ()
EXTRA = "export"
TITLE = "torch.export"
ENTRY = "extra/reid_dml.json"


def read_about(path: Path) -> dict[str, str]:
    """What our entry of the archive says."""
    try:
        with _opened(path) as archive:
            content = json.loads(archive.read(_named(archive, ENTRY)))
    except KeyError:
        return {}
    return {str(key): str(value) for key, value in content.items()} if isinstance(content, dict) else {}


def check(path: Path, about: Mapping[str, str]) -> None:
    """Refuse an archive that is not as it was written."""
    if verifies():
        with _opened(path) as archive:
            check_digest(path, about_digest(archive, about), about[KEY], "copy it again, or export it again")


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

    Raises:
        UserError: an archive that could run code, or that torch cannot open.
    """
    content = _checked(path)
    try:
        with _silent("torch.export"):  # of what is raised as well
            program = torch.export.load(content)
    except Exception as failure:  # of many kinds: assertions, attributes that are not there, ...
        raise UserError(
            f"{path}: torch {torch.__version__} cannot open it ({' '.join(str(failure).split())[:160]}); export it "
            "again with this version of torch"
        ) from None
    if device != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    module = program.module()

    def compute(images: Tensor) -> Tensor:
        return module(images.to(device, torch.float32))

    return compute


def _checked(path: Path) -> io.BytesIO:
    """The archive anew, of the entries that were checked."""
    with _opened(path) as archive:
        entries = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    if reason := danger(entries):
        raise UserError(f"{path}: {reason}; it is not opened, because that could run code")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in entries.items():
            archive.writestr(f"model/{name}", data)
    content.seek(0)
    return content


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive. Raises `UserError` for none, or for one of whose entries readers might take different ones."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.casefold() for name in archive.namelist()]
            if len(set(names)) < len(names):
                raise UserError(f"{path}: holds entries twice; it is not opened, because that could run code")
            if len({name.partition("/")[0] for name in names}) > 1:
                raise UserError(f"{path}: holds several folders; it is not opened, because that could run code")
            yield archive
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError) as failure:
        raise UserError(f"{path}: is no whole .pt2 file ({failure}); copy it again, or export it again") from None


def _named(archive: zipfile.ZipFile, entry: str) -> str:
    """The entry's name behind the folder that all stand in. Raises `KeyError` if there is none."""
    return next(iter(name for name in archive.namelist() if name.partition("/")[2] == entry), entry)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Let a logger say nothing meanwhile."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
