"""Pages in Markdown whose generated parts stand between two marks."""

from __future__ import annotations

import re

from reid_dml.errors import UserError


def fill_marks(page: str, name: str, content: str, path: object) -> str:
    """A page with new content between two marks.

    Args:
        page: its text.
        name: of the marks, `<!-- name: begin -->` and `<!-- name: end -->`.
        content: what is to stand between them.
        path: of the page, for the error.

    Raises:
        UserError: a page without the two marks, or with several.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    try:
        before, rest = page.split(begin)
        _, after = rest.split(end)
    except ValueError:
        raise UserError(f"{path}: lacks the lines {begin} and {end}; put them back") from None
    return f"{before}{begin}\n\n{content}\n{end}{after}"


def below_a_heading(text: str) -> str:
    """Text, without blocks of code, whose headings are a level lower: for a page in which it stands below one."""
    return re.sub(r"^(?=#+ )", "#", text, flags=re.MULTILINE)
