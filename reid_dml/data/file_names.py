"""Person and camera of a file name in Market-1501's pattern."""

from __future__ import annotations

import re

# Only the base name is parsed: a folder called run_12_c3/ must not turn every image into person 12, camera 3.
# Of the numbers below 0 there is junk, -1, only.
MARKET_NAME = re.compile(r"(?P<person>-0*[01]|\d{1,18})_c(?P<camera>\d{1,18})(?!\d)")


def parse_name(name: str) -> tuple[int, int]:
    """Person id and camera id of a file's base name. Raises `ValueError` when it does not parse."""
    match = MARKET_NAME.match(name)
    if match is None:
        raise ValueError(f"{name!r} does not look like 0002_c1s1_000451_03.jpg")
    return int(match["person"]), int(match["camera"])
