"""From paths to records: folders of images, single images, and ids in the names of files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from reid_dml.data.listing import walk_images
from reid_dml.data.records import UNKNOWN_CAMERA, UNKNOWN_PERSON, ImageRecord
from reid_dml.data.sets.market1501 import parse_name
from reid_dml.data.videos import every, with_frames
from reid_dml.errors import UserError, absolute, require_file


def folder_records(folder: str | os.PathLike[str], frame_step: int = 0) -> list[ImageRecord]:
    """All images below a folder, sorted by path; ids from names in Market's pattern, unknown otherwise.

    With a `frame_step` N the images are frames: every N-th of each folder is taken, and of videos every N-th frame.
    Raises `UserError` if there is no such folder or no image in it, or for a video that cannot be opened.
    """
    if not Path(folder).is_dir():
        raise UserError(f"{absolute(folder)}: folder not found; name a folder of images")
    names = every(walk_images(folder, videos=frame_step > 0), frame_step)
    records = with_frames((named_record(os.path.join(folder, name)) for name in names), frame_step)
    if not records:
        raise UserError(f"{absolute(folder)}: holds no images, nor do its sub-folders; name a folder of images")
    return sorted(records)


def named_record(path: str) -> ImageRecord:
    """The record of one image: ids from a name in Market's pattern, unknown otherwise."""
    try:
        return ImageRecord(path, *parse_name(os.path.basename(path)))
    except ValueError:
        return ImageRecord(path, UNKNOWN_PERSON, UNKNOWN_CAMERA)


def image_records(paths: Sequence[str | os.PathLike[str]], frame_step: int = 0) -> list[ImageRecord]:
    """Image files as given, frames of videos, and all images below folders; see `folder_records`.

    Raises `UserError` for a path that is none of these.
    """
    records: list[ImageRecord] = []
    for path in paths:
        if Path(path).is_dir():
            records += folder_records(path, frame_step)
        elif not Path(path).exists() and not Path(path).suffix:
            raise UserError(f"{absolute(path)}: folder not found; name a folder of images")
        else:
            records.append(named_record(str(require_file(path, "the image or folder", "check the path"))))
    return with_frames(records, frame_step)
