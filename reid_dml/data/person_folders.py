"""Folders per person: `<person>/*`, or `<person>/<camera>/*`; the names of the folders are the labels."""

from __future__ import annotations

import os
import re
from pathlib import Path

from reid_dml.data.labels import LabelledImage, tidy
from reid_dml.data.listing import list_folders, list_images, walk_images
from reid_dml.data.tables import iso_time
from reid_dml.data.videos import every
from reid_dml.errors import UserError

LAYOUT = "a folder per person with the images of that person, <person>/<image> or <person>/<camera>/<image>"


def read_person_folders(
    root: str | os.PathLike[str], pattern: str = "", *, frame_step: int = 0, remedy: str = "name"
) -> list[LabelledImage]:
    """All images below the folders of persons, sorted by path.

    Args:
        root: holds a folder per person.
        pattern: regular expression that is searched for in each path below the person's folder, with a group `camera`
            and, if wanted, one `time`; empty: the first sub-folder is the camera, where there are sub-folders.
        frame_step: N > 0: images are frames: every N-th of each folder is taken, and videos are listed, too.
        remedy: what to do with the root, for errors; what it must hold is said behind it.

    Raises:
        UserError: no such folder, none inside it, images beside the folders, a person without images, a wrong pattern
            or a path without it.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root.absolute()}: folder not found; {remedy} {LAYOUT}")
    compiled = compile_pattern(pattern)
    persons = list_folders(root)
    if not persons:
        raise UserError(f"{root}: holds no folders; {remedy} {LAYOUT}")
    if beside := list_images(root, videos=frame_step > 0):
        raise UserError(
            f"{root / beside[0]}: {len(beside):,} images beside the persons' folders belong to nobody; move them into "
            "the folder of a person, or away"
        )
    images = []
    for person in persons:
        found = every(walk_images(root / person, videos=frame_step > 0), frame_step)
        if not found:
            raise UserError(f"{root / person}: holds no images; each person needs one, remove the folder otherwise")
        for name in found:
            below, path = Path(name), os.path.join(root, person, name)
            camera, time = (below.parts[0] if len(below.parts) > 1 else ""), ""
            if compiled:
                match = compiled.search(below.as_posix())
                if match is None:
                    raise UserError(
                        f"{path}: OWN.CAMERA_PATTERN {pattern!r} is not in {below.as_posix()!r}; mend the pattern or "
                        "the name"
                    )
                groups = match.groupdict()
                camera, time = groups["camera"] or "", groups.get("time") or ""
            images.append(LabelledImage(path, tidy(person), tidy(camera), time=iso_time(time, path), place=path))
    return images


def compile_pattern(pattern: str) -> re.Pattern[str] | None:
    """The pattern of cameras, None if it is empty. Raises `UserError` if it is wrong, or has no group `camera`."""
    if not pattern:
        return None
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(f"{pattern!r}: not a regular expression ({error}); mend it") from None
    if "camera" not in compiled.groupindex:
        raise UserError(f"{pattern!r}: has no group named camera; write one, such as cam(?P<camera>\\d+)")
    return compiled
