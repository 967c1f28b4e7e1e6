"""Ranked lists as files for spreadsheets and programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict

from reid_dml.service.answers import Answer

_COLUMNS = ("rank", "id", "name", "person", "camera", "time", "score", "same_person", "probability")


def as_csv(answers: Sequence[Answer]) -> str:
    """A table with a header. A text that a spreadsheet would take for a formula stands behind an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for answer in answers:
        writer.writerow([_cell(getattr(answer, column)) for column in _COLUMNS])
    return text.getvalue()


def as_json(answers: Sequence[Answer], metric: str) -> str:
    """An object with `metric` and `images`, as /v1/search answers."""
    return json.dumps({"metric": metric, "images": [asdict(answer) for answer in answers]}, indent=2)


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return "'" + value
    return "" if value is None else value
