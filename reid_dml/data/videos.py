"""Frames of videos as images, called `video.mp4#000123` (counted from 0) and read as they are needed."""

from __future__ import annotations

import os
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from reid_dml.data.records import ImageRecord
from reid_dml.errors import UserError, absolute

VIDEO_EXTENSIONS = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".mts", ".m2ts"}
)
_FRAME = re.compile(r"(.+)#(\d{6,})", re.DOTALL)
_OPEN = threading.local()  # of every thread, the video it reads and the number of the next frame


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file has the name of a video."""
    return os.path.splitext(path)[1].lower() in VIDEO_EXTENSIONS


def split_frame(path: str | os.PathLike[str]) -> tuple[str, int] | None:
    """Video and number of a frame; None for any other path."""
    match = _FRAME.fullmatch(os.fspath(path))
    return (match[1], int(match[2])) if match and is_video(match[1]) else None


def file_of(path: str | os.PathLike[str]) -> str:
    """The file that holds an image: the video of a frame, else the path itself."""
    frame = split_frame(path)
    return frame[0] if frame else os.fspath(path)


def with_frames(records: Iterable[ImageRecord], step: int) -> list[ImageRecord]:
    """The records with those of videos replaced by every `step`-th frame (0: every one), with the video's ids.

    Raises `UserError` for a step below 0, and for a video that OpenCV cannot open or that holds no frame.
    """
    if step < 0:
        raise UserError(f"--frame-step {step}: must be 1 or more")
    found: list[ImageRecord] = []
    for record in records:
        if is_video(record.path):
            numbers = range(0, count_frames(record.path), step or 1)
            found += [record._replace(path=f"{record.path}#{number:06d}") for number in numbers]
        else:
            found.append(record)
    return found


def every(names: Sequence[str], step: int) -> list[str]:
    """Of the images of each folder every `step`-th, in the order of the numbers in their names; videos all."""
    if step < 2:
        return list(names)
    folders: dict[str, list[str]] = defaultdict(list)
    for name in names:
        folders[os.path.dirname(name)].append(name)
    chosen = [name for images in folders.values() for name in sorted(_images(images), key=_by_number)[::step]]
    return sorted([*chosen, *filter(is_video, names)])


def count_frames(path: str | os.PathLike[str]) -> int:
    """Frames that can be read: a video's own count may be an estimate. Raises `UserError` for no video."""
    video, count = _opened(path), 0
    try:
        while video.grab():
            count += 1
    finally:
        video.release()
    if not count:
        raise UserError(f"{absolute(path)}: holds no frame that can be read; convert it to MP4 (H.264)")
    return count


@lru_cache(maxsize=256)
def frame_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of a video's frames."""
    video = _opened(path)
    try:
        return int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT))
    finally:
        video.release()


def read_frame(path: str, number: int) -> np.ndarray | None:
    """A frame as (H, W, 3) uint8 BGR; None if the video ends before.

    Frames are counted from the beginning, not sought: where a frame lies that was sought is not certain for every
    video. Each thread goes on where it stopped.
    """
    video, name, place = getattr(_OPEN, "video", (None, "", 0))
    if video is None or name != path or place > number:
        if video is not None:
            video.release()
        video, place = _opened(path), 0
    for _ in range(place, number):
        video.grab()
    read, image = video.read()
    _OPEN.video = (video, path, number + 1)
    return image if read else None


def _opened(path: str | os.PathLike[str]) -> cv2.VideoCapture:
    if not Path(path).is_file():
        raise UserError(f"{absolute(path)}: video not found; check the path")
    video = cv2.VideoCapture(os.fspath(path))
    if not video.isOpened():
        raise UserError(f"{absolute(path)}: not a video that OpenCV can open; convert it to MP4 (H.264)")
    return video


def _images(names: Iterable[str]) -> list[str]:
    return [name for name in names if not is_video(name)]


def _by_number(name: str) -> list[tuple[int, str]]:
    """frame_2 before frame_10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]
