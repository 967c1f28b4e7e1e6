"""The decoded cache: images decoded and resized once, kept on disk as uint8 and read from there by position.

A shard holds some 256 MB of images in two files: `<key>.npy`, their pixels (n, 3, height, width) uint8, and
`<key>.npz`, for each image the time its file was changed (`modified`, ns), a hash of the file (`content`, BLAKE2b)
and a checksum of its pixels (`checksums`, CRC-32).

The key stands for the stored size, OpenCV's version, and the names and sizes in bytes of the files: found without
opening one. Where a file's time is not the one in the shard, its content is hashed: a copied or touched data set keeps
its shards, an edited image does not. (Not seen: an edit that leaves both size and time as they were.) The checksum is
compared when a process reads an image first, and again once the file is another, as after a command on a data set of
the same names and sizes; a damaged shard is made anew from the image files.

Memory never holds more of a set than was asked for, whatever the set's size. Pixels are read, not mapped: a mapped file
that a full or failing disk cannot deliver kills the process, a failed read can be answered by decoding the image.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import threading
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm
from yacs.config import CfgNode

from reid_dml.data.images import decode_image, read_file, to_stored
from reid_dml.data.records import ImageRecord
from reid_dml.data.stored import ImageArrays, ImageFiles, StoredImages
from reid_dml.errors import describe_os_error
from reid_dml.files import save_with
from reid_dml.processes import first_then_others, rank
from reid_dml.threads import cpu_threads, usable_cores

logger = logging.getLogger(__name__)

_SHARD_BYTES = 256 * 2**20
_SPARE_BYTES = 2**30  # left free on the disk
_AT_ONCE = 256  # images decoded between two writes
_FORMAT = "1"  # of the two files, and of what decoding and resizing do


def open_images(cfg: CfgNode, records: Sequence[ImageRecord]) -> StoredImages:
    """Images of a data set at `DATA.STORED_SIZE`: from the decoded cache, which is filled first, or from their files.

    Images that the data set holds in memory come from there.

    Several processes may call it together: the first fills the cache.
    """
    if records and records[0].pixels is not None:
        return ImageArrays(records, cfg.DATA.STORED_SIZE)
    folder = cache_folder(cfg)
    if folder is None or not records:
        return ImageFiles(records, cfg.DATA.STORED_SIZE)
    return first_then_others(lambda: _open(records, cfg.DATA.STORED_SIZE, folder))


def cache_folder(cfg: CfgNode) -> Path | None:
    """Where `DATA.CACHE_DIR` says; `auto`: beside the data or, if nothing can be written there, the user's cache."""
    if cfg.DATA.CACHE_DIR != "auto":
        return Path(cfg.DATA.CACHE_DIR) if cfg.DATA.CACHE_DIR else None
    root = Path(cfg.DATA.ROOT)
    beside = (root if root.is_dir() else root.parent) / ".cache" / "reid_dml"
    if beside.is_dir() or os.access(beside.parent if beside.parent.is_dir() else beside.parent.parent, os.W_OK):
        return beside
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reid_dml"


def _open(records: Sequence[ImageRecord], size: Sequence[int], folder: Path) -> StoredImages:
    images = CachedImages(records, size, folder)
    try:
        images.fill()
    except OSError as error:
        warnings.warn(f"{describe_os_error(error)}; until then images are decoded whenever they are read", stacklevel=2)
        return ImageFiles(records, size)
    return images


class CachedImages(StoredImages):
    """Images read from the shards of a cache folder; to be filled before anything is read."""

    def __init__(self, records: Sequence[ImageRecord], size: Sequence[int], folder: Path) -> None:
        super().__init__(records, size)
        self.folder = folder
        self.per_shard = max(1, _SHARD_BYTES // (3 * size[0] * size[1]))
        paths = [record.path for record in records]
        # Names below the folder that all have in common: a data set may be moved. Not `commonpath`, which refuses
        # relative beside absolute paths and shortens doubled separators: its length would cut names elsewhere.
        common = len(os.path.dirname(os.path.commonprefix(paths)))  # noqa: RUF071
        self.shards = [
            _Shard(paths[start : start + self.per_shard], common, self.size, folder)
            for start in range(0, len(paths), self.per_shard)
        ]

    def fill(self) -> None:
        """Make the shards that are missing or no longer true, one after another, each all or nothing.

        Raises `UserError` for an image that cannot be read, `OSError` where the cache cannot be written.
        """
        missing = [shard for shard in self.shards if not shard.open()]
        if not missing:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        count, space = sum(map(len, missing)), sum(shard.num_bytes for shard in missing)
        free = shutil.disk_usage(self.folder).free
        if free < space + _SPARE_BYTES:
            why = (
                f"{space / 1e9:.1f} GB of decoded images do not fit, {free / 1e9:.1f} GB are free and "
                f"{_SPARE_BYTES / 1e9:.1f} GB are to stay so: free some space, "
                'set DATA.CACHE_DIR to another disk, or to "" for no cache'
            )
            raise OSError(None, why, str(self.folder))
        done = 0
        with tqdm(total=count, desc=f"decoding to {self.folder}", unit="image", leave=False, disable=rank() > 0) as bar:
            for shard in missing:
                with _alone(self.folder):
                    if shard.open():
                        bar.update(len(shard))  # another command has made it meanwhile
                    else:
                        shard.write(_workers(), bar)
                        done += len(shard)
        if done:
            megabytes = done * missing[0].image_bytes / 1e6
            logger.info("%s: %s images decoded, %s MB", self.folder, f"{done:,}", f"{megabytes:,.0f}")

    def read(self, rows: Sequence[int] | np.ndarray, out: np.ndarray) -> None:
        rows = np.asarray(rows)
        shards, places = rows // self.per_shard, rows % self.per_shard
        # Neighbours are read in one go.
        breaks = np.flatnonzero((np.diff(shards) != 0) | (np.diff(places) != 1)) + 1
        for start, stop in zip([0, *breaks], [*breaks, len(rows)], strict=True):
            if start < stop:
                self.shards[shards[start]].read(int(places[start]), out[start:stop])


class _Shard:
    """Some images of a set, and the two files that hold them."""

    def __init__(self, paths: Sequence[str], common: int, size: tuple[int, int], folder: Path) -> None:
        self.paths, self.size = paths, size
        facts = [_fact(path) for path in paths]
        self.modified = np.array([modified for _, modified in facts], np.int64)
        names = "".join(f"{path[common:]}\0{length}\n" for path, (length, _) in zip(paths, facts, strict=True))
        head = f"{_FORMAT} {cv2.__version__} {size[0]}x{size[1]}\n"
        key = blake2b((head + names).encode(errors="surrogateescape"), digest_size=16).hexdigest()
        self.pixels, self.index = folder / f"{key}.npy", folder / f"{key}.npz"
        self.image_bytes = 3 * size[0] * size[1]
        self.offset = 0  # of the first image in the file
        self.checksums = np.empty(0, np.uint32)
        self.checked: tuple[tuple[int, ...], np.ndarray] = ((), np.empty(0, bool))  # a state of the file, its images
        self._mending, self._mended = threading.Lock(), False

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def num_bytes(self) -> int:
        return len(self) * self.image_bytes

    def open(self) -> bool:
        """Whether both files are there, whole, and of these very images."""
        try:
            pixels = np.load(self.pixels, mmap_mode="r")
            with np.load(self.index) as index:
                modified, content, checksums = (index[name] for name in ("modified", "content", "checksums"))
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return False
        expected = ((len(self), 3, *self.size), (len(self),), (len(self), 16), (len(self),))
        if tuple(array.shape for array in (pixels, modified, content, checksums)) != expected:
            return False
        if len(changed := np.flatnonzero(modified != self.modified)):
            if any(_content(read_file(self.paths[row])) != content[row].tobytes() for row in changed.tolist()):
                return False
            with suppress(OSError):  # a cache that may only be read is as good; the files are hashed again next time
                self._write_index(content, checksums)
        self.offset, self.checksums, self.checked = pixels.offset, checksums, ((), np.empty(0, bool))
        return True

    def write(self, workers: int, bar: tqdm) -> None:
        """Decode all images and write both files, then open them."""
        for draft in self.pixels.parent.glob(f".{self.pixels.name}.*"):
            draft.unlink(missing_ok=True)  # of a process that was killed: this one is alone here
        self.index.unlink(missing_ok=True)
        content, checksums = np.empty((len(self), 16), np.uint8), np.empty(len(self), np.uint32)

        def decode(row: int) -> np.ndarray:
            data = read_file(self.paths[row])
            image = to_stored(decode_image(data, self.paths[row]), self.size)
            content[row], checksums[row] = np.frombuffer(_content(data), np.uint8), zlib.crc32(image.data)
            return image

        def save(draft: Path) -> None:
            with draft.open("wb") as file, ThreadPoolExecutor(workers) as pool:
                shape = (len(self), 3, *self.size)
                np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
                for start in range(0, len(self), _AT_ONCE):
                    for image in pool.map(decode, range(start, min(start + _AT_ONCE, len(self)))):
                        file.write(image.data)
                        bar.update()

        save_with(self.pixels, save)
        self._write_index(content, checksums)
        if not self.open():
            raise OSError(None, "is not what was written a moment ago: check the disk", str(self.pixels))

    def _write_index(self, content: np.ndarray, checksums: np.ndarray) -> None:
        def save(draft: Path) -> None:
            with draft.open("wb") as file:
                np.savez(file, modified=self.modified, content=content, checksums=checksums)

        save_with(self.index, save)

    def read(self, first: int, out: np.ndarray) -> None:
        """Fill `out` with the images from number `first` on."""
        if not self._read_intact(first, out):
            self._mend()
            if not self._read_intact(first, out):
                for place, path in enumerate(self.paths[first : first + len(out)]):
                    out[place] = to_stored(decode_image(read_file(path), path), self.size)

    def _read_intact(self, first: int, out: np.ndarray) -> bool:
        try:
            file = os.open(self.pixels, os.O_RDONLY)
            try:
                checked = self._checked_in(os.fstat(file))
                if not _read_at(file, self.offset + first * self.image_bytes, out.data.cast("B")):
                    return False
            finally:
                os.close(file)
        except OSError:
            return False
        for place in np.flatnonzero(~checked[first : first + len(out)]):
            if zlib.crc32(out[place].data) != self.checksums[first + place]:
                return False
        checked[first : first + len(out)] = True
        return True

    def _checked_in(self, status: os.stat_result) -> np.ndarray:
        """Which images were compared with their checksums in this very file: none if it was replaced or written to."""
        state = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        known = self.checked  # read once: other threads may see another file
        if known[0] != state:
            known = self.checked = (state, np.zeros(len(self), bool))
        return known[1]

    def _mend(self) -> None:
        """Make the shard anew, once; one that cannot be written stays as it is."""
        with self._mending:
            if self._mended:
                return
            self._mended = True
            warnings.warn(f"{self.pixels}: damaged; made anew from its {len(self):,} image files", stacklevel=3)
            try:
                with _alone(self.pixels.parent):
                    self.write(cpu_threads(), tqdm(disable=True))
            except OSError as error:
                warnings.warn(f"{describe_os_error(error)}; its images are decoded instead", stacklevel=3)


def _workers() -> int:
    """Threads that decode: those of the processes on this machine that wait meanwhile are free, too."""
    together = cpu_threads() * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(cpu_threads(), min(together, usable_cores()))


def _fact(path: str) -> tuple[int, int]:
    """Size in bytes and time of the last change in ns."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        read_file(path)  # says so
        raise
    return status.st_size, status.st_mtime_ns


def _read_at(file: int, offset: int, out: memoryview) -> bool:
    """Fill `out` from this place on; False if the file ends before. Small images are not worth a file object."""
    done = 0
    while done < len(out):
        count = os.preadv(file, [out[done:]], offset + done)
        if not count:
            return False
        done += count
    return True


def _content(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time write into a folder, where the file system can tell them apart."""
    with (folder / ".lock").open("w") as file:
        with suppress(OSError):  # no locks there: the same work may be done twice, and renaming keeps the files whole
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
