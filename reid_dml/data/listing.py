"""Which files of a folder are images: one rule for every data set and command.

Files and folders that systems leave beside images (hidden ones, thumbnails, what archives of a Mac hold) are passed
over. Links are followed. Images of kinds that cannot be read, or in places that a data set has no use for, are passed
over with one warning, which says how many and where.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from reid_dml.data.videos import VIDEO_EXTENSIONS

# What OpenCV decodes (of moving pictures the first frame).
EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".bmp", ".webp", ".tif", ".tiff"}
    | {".avif", ".gif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm"}
)
# Images to anybody who looks at the folder, but not to OpenCV.
_UNREADABLE = frozenset(
    {".heic", ".heif", ".hif", ".jxl", ".tga", ".psd", ".pcx", ".qoi", ".ico", ".svg", ".eps"}
    | {".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".pef"}
)
_LEFT_BY_SYSTEMS = frozenset({"__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found", "thumbs.db"})
_CANNOT_READ = "of kinds that cannot be read ({kinds}; convert them to JPEG or PNG)"


class PassedOver:
    """Counts the images that a listing leaves out, to name them in one line."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._kinds: set[str] = set()

    def add(self, why: str, path: str, count: int = 1) -> None:
        """So many images were left out, the first at this path; `why` is read behind their number.

        Args:
            why: read behind their number.
            path: the first of them.
            count: how many.
        """
        self._counts[why] += count
        self._first.setdefault(why, path)

    def add_unreadable(self, path: str) -> None:
        """An image of a kind that cannot be read."""
        self._kinds.add(os.path.splitext(path)[1].lower())
        self.add(_CANNOT_READ, path)

    def summary(self) -> str:
        """What was left out, in words; empty if nothing was."""
        kinds = ", ".join(sorted(self._kinds))
        return "; ".join(
            f"{count:,} {why.replace('{kinds}', kinds)}, first {self._first[why]}"
            for why, count in self._counts.items()
        )


@contextmanager
def passed_over(where: str | os.PathLike[str], given: PassedOver | None = None) -> Iterator[PassedOver]:
    """Collects what is left out below a folder and warns of it at the end, or leaves that to the collector given."""
    if given is not None:
        yield given
        return
    passed = PassedOver()
    yield passed
    if summary := passed.summary():
        warnings.warn(f"{where}: images are passed over: {summary}", stacklevel=4)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of the user's images: hidden, or left there by a system."""
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS


def list_images(folder: str | os.PathLike[str], passed: PassedOver | None = None, *, videos: bool = False) -> list[str]:
    """Names of the images in a folder, not in those below it, sorted.

    Args:
        folder: to look into.
        passed: collects what is left out; None: a warning says it.
        videos: list them, too.
    """
    with passed_over(folder, passed) as left:
        return _scan(os.fspath(folder), left, _kinds(videos))[0]


def list_folders(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the folders in a folder, sorted, links to folders among them."""
    return sorted(entry.name for entry in os.scandir(folder) if not is_hidden(entry.name) and entry.is_dir())


def walk_images(folder: str | os.PathLike[str], passed: PassedOver | None = None, *, videos: bool = False) -> list[str]:
    """The images in a folder and in all below it, as paths from there, sorted.

    Links to folders are followed; a folder that several paths lead to is read once.

    Args:
        folder: to look into.
        passed: collects what is left out; None: a warning says it.
        videos: list them, too.
    """
    top, found, read = os.fspath(folder), list[str](), set[tuple[int, int]]()
    with passed_over(folder, passed) as left:
        folders, links = [""], list[str]()
        while folders or links:
            # Links last: what has a path of its own is called by it.
            here = folders.pop() if folders else links.pop(0)
            path = os.path.join(top, here) if here else top
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in read:
                continue
            read.add((status.st_dev, status.st_ino))
            images, real, linked = _scan(path, left, _kinds(videos))
            found += [os.path.join(here, name) for name in images]
            folders += [os.path.join(here, name) for name in real]
            links += [os.path.join(here, name) for name in linked]
    return sorted(found)


def _kinds(videos: bool) -> frozenset[str]:
    return EXTENSIONS | VIDEO_EXTENSIONS if videos else EXTENSIONS


def _scan(folder: str, passed: PassedOver, kinds: frozenset[str]) -> tuple[list[str], list[str], list[str]]:
    """Names of the images, of the folders, and of the links to folders in a folder, each sorted."""
    images, folders, links = list[str](), list[str](), list[str]()
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if is_hidden(entry.name):
            continue
        extension = os.path.splitext(entry.name)[1].lower()
        if entry.is_dir():
            (links if entry.is_symlink() else folders).append(entry.name)
        elif extension in kinds:
            # A link to a file that is gone counts as an image: one that is broken.
            if entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path)):
                images.append(entry.name)
        elif extension in _UNREADABLE and entry.is_file():
            passed.add_unreadable(entry.path)
        elif extension in VIDEO_EXTENSIONS and entry.is_file():
            passed.add("videos (tools that read images take their frames with --frame-step N)", entry.path)
    return images, folders, links
