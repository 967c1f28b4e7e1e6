"""Which images of an index a search may find: by camera and by time."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from reid_dml.data.times import moment_of
from reid_dml.errors import UserError
from reid_dml.features.names import Names, id_of
from reid_dml.features.validation import check_text

_DIGITS = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}  # of the directives of a pattern
# A time as it may be written; the last group that is there, an argument of `timedelta`, is how exactly.
_WRITTEN = re.compile(
    r"\d{4}-?(?:(?P<weeks>W\d\d)|(?P<days>\d\d-?\d\d|W\d\d-?\d))"
    r"(?:\D(?P<hours>\d\d)(?::?(?P<minutes>\d\d)(?::?(?P<seconds>\d\d)(?P<microseconds>[.,]\d+)?)?)?"
    r"(?:Z|[+-][\d:.]+)?)?"
)


@dataclass(frozen=True)
class ImageFilter:
    """What an image must be like; what is left empty does not matter.

    Attributes:
        cameras: one of these, by id or name.
        not_cameras: none of these.
        since: not before this moment.
        until: not at this moment or later.
        time_pattern: how times stand in file names, such as `%Y%m%d_%H%M%S`, for images without a time of their own.
    """

    cameras: Collection[int | str] = ()
    not_cameras: Collection[int | str] = ()
    since: datetime | None = None
    until: datetime | None = None
    time_pattern: str = ""

    def __post_init__(self) -> None:
        """Raises `ValueError` for arguments of another type. Moments with a time zone become those of UTC."""
        for name in ("cameras", "not_cameras"):
            given = getattr(self, name)
            if isinstance(given, str) or not isinstance(given, Collection):
                raise ValueError(f"{name}: must be a list of cameras, such as [1, 'door'], got {given!r:.40}")
        for name in ("since", "until"):
            moment = getattr(self, name)
            if moment is not None and not isinstance(moment, datetime):
                raise ValueError(f"{name}: must be a datetime, got {type(moment).__name__}")
            if moment and moment.tzinfo:
                object.__setattr__(self, name, moment.astimezone(UTC).replace(tzinfo=None))
        check_text("time_pattern", self.time_pattern)

    def __bool__(self) -> bool:
        return bool(self.cameras or self.not_cameras or self.since or self.until)

    def ids(self, images: pa.Table, where: str, names: Names | None = None) -> np.ndarray:
        """(n,) int64 ids of the images that pass, rising. An image of unknown time passes no filter of times.

        Args:
            images: the table of an index, `Gallery.table`.
            where: what messages call the index.
            names: what its cameras are called, `Gallery.names`; None: their ids.

        Raises:
            UserError: no image passes, no image has a time that is asked for, or no camera has such a name.
        """
        called = dict(names.cameras) if names else {}
        cameras = images["camera_id"].to_numpy()
        passes = np.ones(len(images), bool)
        if self.cameras:
            passes &= np.isin(cameras, camera_ids(self.cameras, called, where))
        if self.not_cameras:
            passes &= ~np.isin(cameras, camera_ids(self.not_cameras, called, where))
        if not passes.any():
            known = ", ".join(called.get(camera, str(camera)) for camera in np.unique(cameras)[:20].tolist())
            raise UserError(f"{where}: no image is of the cameras that are asked for; it has cameras {known}")
        if self.since or self.until:
            times = image_times(images, self.time_pattern)
            if all(time is None for time in times):
                raise UserError(
                    f"{where}: the times of its images are not known; say how they stand in the file names with "
                    "--time-pattern, such as %Y%m%d_%H%M%S, or build the index from a list with a column `time`"
                )
            passes &= np.array([time is not None and self.in_time(time) for time in times], bool)
            if not passes.any():
                known_times = [time for time in times if time is not None]
                raise UserError(
                    f"{where}: no image is of the time that is asked for; times go from {min(known_times)} to "
                    f"{max(known_times)}"
                )
        return images["id"].to_numpy()[passes]

    def in_time(self, time: datetime) -> bool:
        """Whether a moment without a time zone is of the time that is asked for."""
        return (self.since is None or time >= self.since) and (self.until is None or time < self.until)


def camera_ids(cameras: Collection[int | str], called: Mapping[int, str], where: str) -> list[int]:
    """Ids of cameras that are given by id or name.

    Args:
        cameras: as of an `ImageFilter`.
        called: names by id.
        where: what messages call the gallery.

    Raises:
        UserError: no camera has such a name.
    """
    found = []
    for camera in cameras:
        number = id_of(camera, called) if isinstance(camera, str) else camera
        if number is None:
            known = f"those with names are {', '.join(sorted(called.values())[:20])}" if called else "none has a name"
            raise UserError(f"{where}: no camera is called {camera!r}; {known}")
        found.append(number)
    return found


def parse_moment(text: str, *, end: bool = False) -> datetime:
    """A moment as a user writes it, ISO 8601. Raises `UserError` for anything else.

    Args:
        text: such as 2026-01-31 or 2026-01-31T12:30.
        end: the first moment behind it: of a week or day the next one, and so of an hour, minute or second;
            of a fraction of one, the next microsecond.
    """
    written = _WRITTEN.fullmatch(text)
    try:
        moment = moment_of(text)
        if written and written.lastgroup:
            try:
                return moment + timedelta(**{written.lastgroup: 1}) if end else moment
            except OverflowError:
                return datetime.max  # behind which there is none
    except (ValueError, OverflowError):
        pass
    raise UserError(f"{text!r} is not a time; write 2026-01-31 or 2026-01-31T12:30:00")


def image_times(images: pa.Table, pattern: str = "") -> list[datetime | None]:
    """The time of every image: its own, else from its file name by a pattern (see `name_time`), else None."""
    own = images["time"].to_pylist()
    find = _compiled(pattern) if pattern else None
    times: list[datetime | None] = []
    for path, time in zip(images["path"].to_pylist(), own, strict=True):
        if time:
            times.append(moment_of(time))
        else:
            times.append(_name_time(path, find, pattern) if find else None)
    return times


def _name_time(path: str, find: re.Pattern[str], pattern: str) -> datetime | None:
    for found in find.finditer(os.path.basename(path)):
        try:
            return datetime.strptime(found.group(1), pattern)
        except ValueError:  # digits that are no time
            continue
    return None


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"%(.)", pattern)
    unknown = [letter for letter in parts[1::2] if letter not in _DIGITS]
    if unknown or len(parts) == 1:
        raise UserError(
            f"time pattern {pattern!r}: made of %Y %m %d %H %M %S and what stands between, such as %Y%m%d_%H%M%S"
        )
    texts = [re.escape(part) if place % 2 == 0 else rf"\d{{{_DIGITS[part]}}}" for place, part in enumerate(parts)]
    return re.compile(f"(?=({''.join(texts)}))")  # places may overlap: the first one may be of digits that are no time
