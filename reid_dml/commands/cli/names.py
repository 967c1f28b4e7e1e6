"""Refusing a name that is none of those there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NoReturn

from reid_dml.errors import UserError


def refuse_unknown(kind: str, given: str, names: Iterable[str]) -> NoReturn:
    """Raise `UserError` with all names and the nearest one.

    Args:
        kind: what is named, such as `command`.
        given: the wrong name.
        names: those there are.
    """
    names = list(names)
    near = difflib.get_close_matches(given, names, 1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UserError(f"no {kind} is called {given!r}: there are {', '.join(names)}{hint}")
