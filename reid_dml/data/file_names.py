"""Person and camera of a file name in Market-1501's pattern."""

from __future__ import annotations

import re

from reid_dml.data.records import JUNK

# Only the base name is parsed: a folder called run_12_c3/ must not turn every image into person 12, camera 3.
_NAME = re.compile(r"(-?\d{1,18})_c(\d{1,18})(?!\d)")


def parse_name(name: str) -> tuple[int, int]:
    """Person id and camera id of a file's base name. Raises `ValueError` when it does not parse."""
    match = _NAME.match(name)
    if match is None or int(match[1]) < JUNK:
        raise ValueError(f"{name!r} does not look like 0002_c1s1_000451_03.jpg")
    return int(match[1]), int(match[2])
