"""From paths to records: single images, folders and tables of images; ids from names, folders or the table."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from reid_dml.data.file_names import parse_name
from reid_dml.data.labels import LabelledImage, records_of, without_repeats
from reid_dml.data.listing import EXTENSIONS, walk_images
from reid_dml.data.person_folders import read_person_folders
from reid_dml.data.records import UNKNOWN_CAMERA, UNKNOWN_PERSON, ImageRecord
from reid_dml.data.tables import is_table, read_table
from reid_dml.data.videos import every, is_video, with_frames
from reid_dml.errors import UserError, absolute
from reid_dml.paths import given_path, require_file

LABELS = ("name", "folder", "none")
CAMERAS = ("use", "ignore")


def is_of_images(path: str | os.PathLike[str]) -> bool:
    """Whether a path is an image, a video, a folder or a table of images, and no feature file."""
    return Path(path).is_dir() or is_table(path) or is_video(path) or Path(path).suffix.lower() in EXTENSIONS


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


def image_records(
    paths: Sequence[str | os.PathLike[str]],
    *,
    labels: str = "name",
    cameras: str = "use",
    frame_step: int = 0,
    camera_pattern: str = "",
) -> list[ImageRecord]:
    """The records of image files as given, of all images below folders, of tables of images, and of videos.

    Ids of tables and of folders per person are the same in every command: whole numbers from 1 as they are, other
    texts as a hash (`labels.lasting_id`) with the name beside it.

    Args:
        paths: image files, folders, and tables (.csv, .tsv or .txt, see `data/tables.py`).
        labels: of images in folders: `name` (ids in Market's pattern), `folder` (a folder per person) or `none`.
        cameras: `use` what is known, or `ignore` it.
        frame_step: N > 0: images are frames; every N-th of each folder is taken, and of videos every N-th frame.
        camera_pattern: of folders per person, see `person_folders.read_person_folders`.

    Raises:
        UserError: a path that is neither, no images, an image named by several paths, or labels that contradict each
            other.
    """
    records: list[ImageRecord] = []
    labelled: list[LabelledImage] = []
    for path in map(given_path, paths):
        if is_table(path):
            table = read_table(path)
            if "person_id" in table.columns:
                labelled += [image._replace(split="") for image in table.images]
                table.say_what_is_unknown(cameras=cameras == "use")
            else:
                records += [
                    named_record(image.path)._replace(time=image.time) for image in without_repeats(table.images)
                ]
        elif Path(path).is_dir():
            if labels == "folder":
                labelled += read_person_folders(path, camera_pattern, frame_step=frame_step)
            else:
                records += folder_records(path, frame_step)
        elif not Path(path).exists() and not Path(path).suffix:
            raise UserError(f"{absolute(path)}: folder not found; name a folder of images")
        else:
            records.append(named_record(str(require_file(path, "the image or folder", "check the path"))))
    if labels == "none":
        records = [record._replace(person_id=UNKNOWN_PERSON) for record in records]
    records = with_frames([*records, *records_of(without_repeats(labelled))[0]], frame_step)
    named = Counter(os.path.abspath(record.path) for record in records) if len(paths) > 1 else {}  # one has no repeats
    if again := [path for path, count in named.items() if count > 1]:
        raise UserError(
            f"{len(again):,} images are named more than once, first {again[0]}; name every image and every folder once"
        )
    if cameras == "ignore":
        records = [record._replace(camera_id=UNKNOWN_CAMERA, camera="") for record in records]
    return records
