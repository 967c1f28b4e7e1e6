"""Text of the page can be read: its contrast is that of WCAG 2.2 AA, in the light and in the dark."""

from __future__ import annotations

import re

import pytest

from tests.conftest import REPOSITORY

CSS = (REPOSITORY / "reid_dml" / "service" / "static" / "page.css").read_text()
SCHEMES = [dict(re.findall(r"--([\w-]+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)]
TEXTS = [
    *((text, ground) for text in ("text", "soft", "main", "bad", "good") for ground in ("ground", "panel")),
    *(("text", "picture"), ("main", "picture"), ("on-main", "main"), ("on-main", "main-over")),
    *(("good", "good-ground"), ("bad", "bad-ground")),
]


def luminance(colour: str) -> float:
    """Relative luminance of #rgb or #rrggbb."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", SCHEMES, ids=["light", "dark"])
def test_text_has_a_contrast_of_4_5(scheme):
    for text, ground in TEXTS:
        low, high = sorted(luminance(scheme[name]) for name in (text, ground))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)
