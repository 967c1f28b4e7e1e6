"""metrics.jsonl: a line for every log interval of a run. A damaged line is left out, the others count."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from reid_dml.files import write_bytes


def read_lines(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """The good lines, as they are and as values, in rising order of steps; one warning says how many are not."""
    if not path.is_file():
        return []
    *lines, rest = path.read_bytes().split(b"\n")
    found = [(line, values) for line in (*lines, rest) if (values := _values(line))]
    kept: list[tuple[bytes, dict[str, Any]]] = []
    for line, values in found:  # of two lines whose steps do not rise, one is damaged
        last, before = ([entry["step"] for _, entry in kept[:-3:-1]] + [0, 0])[:2]
        if last >= values["step"]:
            if before >= values["step"]:
                continue  # this one: its step is too low
            kept.pop()  # the one before: too high
        kept.append((line, values))
    # The rest behind the last line's end is that of a killed process: nothing that anybody need be told.
    if damaged := len(lines) - sum(line is not rest for line, _ in kept):
        warnings.warn(f"{path}: {damaged} damaged line{'s' if damaged > 1 else ''} left out", stacklevel=3)
    return kept


def cut_lines(path: Path, step: int) -> None:
    """Leave the good lines up to a step in the file."""
    if path.is_file():
        write_bytes(path, b"".join(line + b"\n" for line, values in read_lines(path) if values["step"] <= step))


def _values(line: bytes) -> dict[str, Any] | None:
    """The values of a line, if it is one of ours."""
    try:
        values = json.loads(line)
        numbers = [values["images_per_second"], *(value for part in values["networks"] for value in part.values())]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    step = values["step"] if isinstance(values.get("step"), int) else 0
    return values if step > 0 and numbers[1:] and all(isinstance(number, (int, float)) for number in numbers) else None
