"""The folder of the images that were added through the service, named by what is in them.

    3f0c...-anna.jpg             an image of the gallery
    3f0c...-anna.jpg.pending     one that is being added or erased: the gallery decides at the next start which

An image is written before the gallery names it and removed after the gallery forgot it: whatever kills the service, no
image of the gallery is without its file, and no file is left of an image that was erased.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

from reid_dml.files import remove_drafts, sync, write_bytes
from reid_dml.locks import exclusive
from reid_dml.outputs import check_folder

_NAME = re.compile(r"[0-9a-f]{32}-[A-Za-z0-9._-]{0,60}\.(jpg|png|gif|bmp|tif|webp)")
_PENDING = ".pending"


def _is_pending(name: str) -> bool:
    return name.endswith(_PENDING) and _NAME.fullmatch(name.removesuffix(_PENDING)) is not None


class ImageStore:
    """Keeps image files; one service at a time may use a folder.

    Args:
        folder: where; it is made if need be.

    Raises:
        UserError: no such folder can be made or written into. BusyError: another service uses it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(os.path.abspath(folder))
        check_folder(self.folder, str(self.folder))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stack = ExitStack()
        busy = f"{self.folder}: another service keeps its images there; stop it, or name another folder with --store"
        self._stack.enter_context(exclusive(self.folder / ".lock", busy))
        remove_drafts(self.folder)

    def close(self) -> None:
        """Let others use the folder."""
        self._stack.close()

    def settle(self, called: Callable[[list[str]], Iterable[str]]) -> None:
        """End what was cut off: a file of an image of the gallery stays, that of any other is erased.

        `called` gives the paths of the images of the gallery whose files have some names; the folder may have been
        another when they were added. It is called if anything was cut off.
        """
        pending = [file for file in self.folder.iterdir() if _is_pending(file.name)]
        if not pending:
            return
        names = [file.name.removesuffix(_PENDING) for file in pending]
        known = set(map(os.path.basename, called(names)))
        for file in pending:
            if (name := file.name.removesuffix(_PENDING)) in known:
                file.replace(self.folder / name)
            else:
                file.unlink()
        sync(self.folder)

    def path_for(self, data: bytes, name: str, kind: str) -> str:
        """The path by which the gallery is to name an image: the same for the same bytes, whatever they are called.

        Args:
            data: of the file.
            name: as it was sent; harmless parts of it are kept for people to read.
            kind: its suffix.
        """
        digest = sha256(data).hexdigest()[:32]
        for file in self.folder.glob(f"{digest}-*"):
            return str(self.folder / file.name.removesuffix(_PENDING))
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", os.path.splitext(name)[0]).strip("._")[:60]
        return str(self.folder / f"{digest}-{stem}{kind}")

    def keep(self, path: str, data: bytes) -> None:
        """Write an image to the disk, to be settled once the gallery has it."""
        write_bytes(path + _PENDING, data)

    def confirm(self, paths: Iterable[str]) -> None:
        """The gallery has these images, for good."""
        for path in paths:
            os.replace(path + _PENDING, path)

    def withdraw(self, path: str) -> None:
        """The gallery is about to forget the image."""
        if (file := self._file(path)) and not file.endswith(_PENDING):
            os.replace(file, file + _PENDING)

    def erase(self, paths: Iterable[str]) -> None:
        """The gallery has forgotten these images, for good; those whose files are elsewhere are passed over."""
        for path in paths:
            if file := self._file(path):
                os.unlink(file)
        sync(self.folder)

    def owns(self, path: str) -> bool:
        """Whether the file of this image is here."""
        return self._file(path) is not None

    def readable(self, path: str) -> str:
        """Where to read the image that the gallery calls so: here, or where it says."""
        return self._file(path) or path

    def _file(self, path: str) -> str | None:
        name = os.path.basename(path)
        if not _NAME.fullmatch(name):
            return None
        for file in (self.folder / name, self.folder / (name + _PENDING)):
            if file.is_file():
                return str(file)
        return None


def shown_name(path: str) -> str:
    """What people call an image of the gallery: the name of its file, of one added here the name it came by."""
    name = os.path.basename(path)
    return name[33:] if _NAME.fullmatch(name) else name
