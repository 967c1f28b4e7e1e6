"""Images that cannot be used: all of them named at once, or left out by `DATA.SKIP_BROKEN`."""

from __future__ import annotations

import dataclasses
import os
import stat
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from tqdm import tqdm
from yacs.config import CfgNode

from reid_dml.data.images import BrokenImage, absent_image
from reid_dml.data.records import ClassificationData, ImageRecord, ReIDData
from reid_dml.data.stored import ImageFiles, StoredImages
from reid_dml.data.videos import file_of
from reid_dml.errors import UserError
from reid_dml.processes import rank

_SHOWN = 5  # of the broken images
_SECONDS = 60.0  # spent on looking for more of them, once one was found
_PIECE = 64  # images looked at between two looks at the clock
_REMEDY = "mend or remove them, or leave them out with DATA.SKIP_BROKEN True"


@contextmanager
def all_broken_named(images: StoredImages, workers: int = 2) -> Iterator[None]:
    """Reads images; where one is broken, the others are looked at, too, and the error names all that are."""
    try:
        yield
    except BrokenImage as first:
        broken, seen = find_broken(images, workers, seconds=_SECONDS)
        if first.path not in {other.path for other in broken}:
            broken = [first, *broken]
        if len(broken) == 1:
            raise
        raise UserError(f"{named(broken, seen, 'cannot be read')}; {_REMEDY}") from None


def find_broken(
    images: StoredImages, workers: int = 2, *, seconds: float | None = None
) -> tuple[list[BrokenImage], int]:
    """What is wrong with images that cannot be read, in their order, and how many images were looked at.

    Args:
        images: to look at.
        workers: threads that read them.
        seconds: at most spent on it; None: all are looked at.
    """
    broken, began, seen = list[BrokenImage](), time.monotonic(), 0

    def look(row: int) -> BrokenImage | None:
        try:
            images.read([row], np.empty((1, 3, *images.size), np.uint8))
        except BrokenImage as error:
            return error
        return None

    hidden = rank() > 0 or len(images) <= _PIECE  # it moves with the pieces
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(images), desc="looking for broken images", unit="image", leave=False, disable=hidden) as bar,
    ):
        while seen < len(images) and (seconds is None or time.monotonic() - began < seconds):
            rows = range(seen, min(seen + _PIECE, len(images)))
            broken += [error for error in pool.map(look, rows) if error is not None]
            seen += len(rows)
            bar.update(len(rows))
    return broken, seen


def usable_records(cfg: CfgNode, records: Sequence[ImageRecord]) -> list[ImageRecord]:
    """The images that commands work on: all, once every file is there, or with `DATA.SKIP_BROKEN` those that decode.

    Raises `UserError` naming all files that are missing or empty, or if no image is left.
    """
    absent = [error for record in records if (error := _absent(record)) is not None]
    if not cfg.DATA.SKIP_BROKEN:
        if len(absent) == 1:
            raise absent[0]
        if absent:
            raise UserError(f"{named(absent, len(records), 'cannot be read')}; {_REMEDY}")
        return list(records)
    gone = {error.path for error in absent}
    there = [record for record in records if record.pixels is not None or os.path.abspath(record.path) not in gone]
    files = [record for record in there if record.pixels is None]
    images = ImageFiles(files, cfg.DATA.STORED_SIZE, cfg.DATA.PIXEL_LIMIT)
    broken = absent + find_broken(images, cfg.DATA.WORKERS)[0]
    if not broken:
        return list(records)
    gone = {error.path for error in broken}
    kept = [record for record in there if record.pixels is not None or os.path.abspath(record.path) not in gone]
    if not kept:
        raise UserError(f"{named(broken, len(records), 'cannot be read')}; none is left")
    warnings.warn(named(broken, len(records), "are broken and left out (DATA.SKIP_BROKEN)"), stacklevel=2)
    return kept


def usable_images(cfg: CfgNode, data: ReIDData | ClassificationData) -> ReIDData | ClassificationData:
    """A data set whose image files are all there, or with `DATA.SKIP_BROKEN` the part of it that can be read.

    Asked before any work, so that an image for the evaluation does not fail after hours of training. Raises
    `UserError` as `usable_records` does, and if a split has no image left.
    """
    splits = [name for name in ("train", "query", "gallery", "boxes", "test") if getattr(data, name, ())]
    kept = usable_records(cfg, [record for name in splits for record in getattr(data, name)])
    if len(kept) == sum(len(getattr(data, name)) for name in splits):
        return data
    paths = {record.path for record in kept}
    parts: dict[str, Any] = {
        name: [record for record in getattr(data, name) if record.path in paths] for name in splits
    }
    if empty := [name for name, records in parts.items() if not records]:
        raise UserError(f"{data.root}: no image of the {empty[0]} split can be read; copy the data set again")
    return dataclasses.replace(data, **parts)


def _absent(record: ImageRecord) -> BrokenImage | None:
    """Why an image's file cannot hold one, without opening it."""
    if record.pixels is not None:
        return None
    try:
        status = os.stat(file_of(record.path))
    except OSError:
        return absent_image(record.path)
    if not stat.S_ISREG(status.st_mode):
        folder = stat.S_ISDIR(status.st_mode)
        return BrokenImage(record.path, "a folder" if folder else "not a file", "name an image file")
    return BrokenImage(record.path, "empty (0 bytes)") if not status.st_size else None


def named(broken: Sequence[BrokenImage], seen: int, what: str) -> str:
    """What is wrong with images, for a message: how many there are, and the first few by name.

    Args:
        broken: the images.
        seen: how many were looked at.
        what: read behind their numbers, such as "cannot be read".
    """
    shown = ", ".join(f"{error.path} ({error.why})" for error in broken[:_SHOWN])
    more = f" and {len(broken) - _SHOWN:,} more" if len(broken) > _SHOWN else ""
    return f"{len(broken):,} of {seen:,} images {what}: {shown}{more}"
