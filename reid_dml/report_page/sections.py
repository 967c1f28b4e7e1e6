"""A part of a report below its table."""

from __future__ import annotations

from typing import NamedTuple


class Section(NamedTuple):
    """A headline (plain text) and what stands below it (HTML)."""

    title: str
    html: str


def plots(figures: list[str]) -> str:
    """Figures side by side."""
    return f'<div class="plots">{"".join(figures)}</div>'
