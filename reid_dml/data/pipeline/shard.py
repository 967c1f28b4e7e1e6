"""One shard of the decoded cache: the pixels of some images, and what tells whether they are still those images'."""

from __future__ import annotations

import os
import threading
import warnings
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import cv2
import numpy as np
import PIL
from tqdm import tqdm

from reid_dml.data.images import PIXEL_LIMIT, decode_image, read_file, to_stored
from reid_dml.errors import describe_os_error
from reid_dml.files import save_with
from reid_dml.locks import alone
from reid_dml.threads import cpu_threads

_AT_ONCE = 256  # images decoded between two writes
_FORMAT = "2"  # of the two files, and of what decoding and resizing do


class Shard:
    """Some images of a set, and the two files that hold them."""

    def __init__(
        self,
        paths: Sequence[str],
        common: int,
        size: tuple[int, int],
        folder: Path,
        pixel_limit: int = PIXEL_LIMIT,
    ) -> None:
        """Name the shard's files; none is opened.

        Args:
            paths: of the images.
            common: characters of every path that do not belong to an image's name.
            size: height and width of the stored images.
            folder: holds the shards.
            pixel_limit: largest width x height of an image.

        Raises:
            UserError: an image file that is not there.
        """
        self.paths, self.size, self.pixel_limit = paths, size, pixel_limit
        facts = [_fact(path) for path in paths]
        self.modified = np.array([modified for _, modified in facts], np.int64)
        names = "".join(f"{path[common:]}\0{length}\n" for path, (length, _) in zip(paths, facts, strict=True))
        head = f"{_FORMAT} {cv2.__version__} {PIL.__version__} {size[0]}x{size[1]}\n"
        key = blake2b((head + names).encode(errors="surrogateescape"), digest_size=16).hexdigest()
        self.name, self.pixels, self.index = key, folder / f"{key}.npy", folder / f"{key}.npz"
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
        except Exception:  # damage makes the readers of zip files and of array headers fail in a dozen ways
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
        """Decode all images by this many threads and write both files, then open them.

        Raises `UserError` for an image that cannot be read, `OSError` where the shard cannot be written.
        """
        for draft in self.pixels.parent.glob(f".{self.pixels.name}.*"):
            draft.unlink(missing_ok=True)  # of a process that was killed: this one is alone here
        self.index.unlink(missing_ok=True)
        content, checksums = np.empty((len(self), 16), np.uint8), np.empty(len(self), np.uint32)

        def decode(row: int) -> np.ndarray:
            data = read_file(self.paths[row])
            image = to_stored(decode_image(data, self.paths[row], self.pixel_limit), self.size)
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
                    out[place] = to_stored(decode_image(read_file(path), path, self.pixel_limit), self.size)

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
                with alone(self.pixels.parent):
                    self.write(cpu_threads(), tqdm(disable=True))
            except OSError as error:
                warnings.warn(f"{describe_os_error(error)}; its images are decoded instead", stacklevel=3)


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
