"""The decoded cache: images decoded and resized once, kept on disk as uint8 and read from there by position.

A shard holds some 256 MB of images in two files: `<key>.npy`, their pixels (n, 3, height, width) uint8, and
`<key>.npz`, for each image the time its file was changed (`modified`, ns), a hash of the file (`content`, BLAKE2b)
and a checksum of its pixels (`checksums`, CRC-32).

The key stands for the stored size, the versions of OpenCV and Pillow, which decode and resize, and the names and sizes
in bytes of the files: found without opening one. Where a file's time is not the one in the shard, its content is
hashed: a copied or touched data set keeps its shards, an edited image does not. (Not seen: an edit that leaves both
size and time as they were.) The checksum is compared when a process reads an image first, and again once the file is
another, as after a command on a data set of the same names and sizes; a damaged shard is made anew from the image
files.

Where a shard ends is decided by the names of the images (`shard_list.divide`): added or removed images change the
shards around them only. Shards that a list of images used before are removed when no other list needs them and no
process reads them; `<list>.shards.json` says which shards a list (a split of a data set, as its options choose it)
uses. Shards of versions before these lists stay: remove the folder to be rid of them.

Memory never holds more of a set than was asked for, whatever the set's size. Pixels are read, not mapped: a mapped file
that a full or failing disk cannot deliver kills the process, a failed read can be answered by decoding the image.
"""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from tqdm import tqdm
from yacs.config import CfgNode

from reid_dml.data.broken import all_broken_named
from reid_dml.data.images import PIXEL_LIMIT
from reid_dml.data.pipeline.shard import Shard
from reid_dml.data.pipeline.shard_list import ShardList, divide
from reid_dml.data.records import ImageRecord
from reid_dml.data.stored import ImageArrays, ImageFiles, StoredImages
from reid_dml.errors import describe_os_error
from reid_dml.files import user_cache
from reid_dml.launched import torchrun_local_world_size
from reid_dml.locks import alone
from reid_dml.processes import first_then_others, rank
from reid_dml.threads import cpu_threads, usable_cores

logger = logging.getLogger(__name__)

_SHARD_BYTES = 256 * 2**20
_SPARE_BYTES = 2**30  # left free on the disk
# Options beside which images are used.
_NOT_CHOOSING = ("ROOT", "CACHE_DIR", "SOURCE", "RESIDENT_LIMIT_GB", "WORKERS", "PIXEL_LIMIT", "SKIP_BROKEN")


def open_images(cfg: CfgNode, records: Sequence[ImageRecord], split: str) -> StoredImages:
    """Images of a data set at `DATA.STORED_SIZE`: from the decoded cache, which is filled first, or from their files.

    Images that the data set holds in memory come from there. Several processes may call it together: the first fills
    the cache.

    Args:
        cfg: says which data set, where its decoded images are kept and at which size.
        records: the images.
        split: which part of the data set they are.

    Raises:
        UserError: an image that cannot be read.
    """
    if records and records[0].pixels is not None:
        return ImageArrays(records, cfg.DATA.STORED_SIZE)
    folder = cache_folder(cfg)
    if folder is None or not records:
        return ImageFiles(records, cfg.DATA.STORED_SIZE, cfg.DATA.PIXEL_LIMIT)
    return first_then_others(lambda: _open(cfg, records, folder, split))


def cache_folder(cfg: CfgNode) -> Path | None:
    """Where `DATA.CACHE_DIR` says; `auto`: beside the data or, if nothing can be written there, the user's cache."""
    if cfg.DATA.CACHE_DIR != "auto":
        return Path(cfg.DATA.CACHE_DIR) if cfg.DATA.CACHE_DIR else None
    root = Path(cfg.DATA.ROOT)
    if not root.exists():  # nothing is written beside data that are elsewhere
        return user_cache()
    beside = (root if root.is_dir() else root.parent) / ".cache" / "reid_dml"
    if beside.is_dir() or os.access(beside.parent if beside.parent.is_dir() else beside.parent.parent, os.W_OK):
        return beside
    return user_cache()


def _owner(cfg: CfgNode, split: str) -> str:
    """Whose images these are, and every option that may choose among them."""
    options = {name: value for name, value in cfg.DATA.items() if name not in _NOT_CHOOSING and value != []}
    return repr((split, os.path.abspath(cfg.DATA.ROOT), sorted(options.items()), sorted(cfg.SEMI.items())))


def _open(cfg: CfgNode, records: Sequence[ImageRecord], folder: Path, split: str) -> StoredImages:
    files = ImageFiles(records, cfg.DATA.STORED_SIZE, cfg.DATA.PIXEL_LIMIT)
    images = CachedImages(records, files.size, folder, _owner(cfg, split), files.pixel_limit)
    try:
        with all_broken_named(files, cfg.DATA.WORKERS):
            images.fill()
    except OSError as error:
        warnings.warn(f"{describe_os_error(error)}; until then images are decoded whenever they are read", stacklevel=2)
        return files
    return images


class CachedImages(StoredImages):
    """Images read from the shards of a cache folder; to be filled before anything is read."""

    def __init__(
        self,
        records: Sequence[ImageRecord],
        size: Sequence[int],
        folder: Path,
        owner: str = "",
        pixel_limit: int = PIXEL_LIMIT,
    ) -> None:
        """Divide the images into shards; none is opened.

        Args:
            records: the images.
            size: height and width at which they are stored.
            folder: holds the shards.
            owner: of the list of images, beside their folder and size; see `ShardList`.
            pixel_limit: largest width x height of an image.

        Raises:
            UserError: an image file that is not there.
        """
        super().__init__(records, size)
        self.folder = folder
        paths = [record.path for record in records]
        # Names below the folder that all have in common: a data set may be moved. Not `commonpath`, which refuses
        # relative beside absolute paths and shortens doubled separators: its length would cut names elsewhere.
        common = len(os.path.dirname(os.path.commonprefix(paths)))  # noqa: RUF071
        rows = divide([path[common:] for path in paths], max(1, _SHARD_BYTES // (3 * size[0] * size[1])))
        self.shards = [Shard(paths[part.start : part.stop], common, self.size, folder, pixel_limit) for part in rows]
        self.first_rows = np.array([part.start for part in rows], np.int64)
        self.list = ShardList(folder, repr((owner, os.path.abspath(paths[0][:common] if paths else ""), self.size)))

    def fill(self) -> None:
        """Make the shards that are missing or no longer true, one after another, each all or nothing.

        Raises `UserError` for an image that cannot be read, `OSError` where the cache cannot be written.
        """
        names = [shard.name for shard in self.shards]
        with suppress(OSError):  # a cache that may only be read is as good
            self.folder.mkdir(parents=True, exist_ok=True)
            with alone(self.folder):
                self.list.claim(names)
        self._make_missing()
        with suppress(OSError), alone(self.folder):
            self.list.drop_unused(names)

    def _make_missing(self) -> None:
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
        with tqdm(
            total=count, desc=f"decoding to {self.folder}", unit="image", leave=False, disable=rank() > 0 or None
        ) as bar:
            for shard in missing:
                with alone(self.folder):
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
        shards = np.searchsorted(self.first_rows, rows, "right") - 1
        places = rows - self.first_rows[shards]
        # Neighbours are read in one go.
        breaks = np.flatnonzero((np.diff(shards) != 0) | (np.diff(places) != 1)) + 1
        for start, stop in zip([0, *breaks], [*breaks, len(rows)], strict=True):
            if start < stop:
                self.shards[shards[start]].read(int(places[start]), out[start:stop])


def _workers() -> int:
    """Threads that decode: those of the processes on this machine that wait meanwhile are free, too."""
    together = cpu_threads() * torchrun_local_world_size()
    return max(cpu_threads(), min(together, usable_cores()))
