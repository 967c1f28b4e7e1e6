"""The reader of tables of images: CSV and the like as spreadsheets, other systems and people write them.

The first line names the columns: `path`, and where they are known `person_id`, `camera_id`, `split` and `time` (ISO
8601), in any order and beside any others. Relative paths are relative to the table's folder.
"""

from __future__ import annotations

import codecs
import csv
import io
import logging
import os
import re
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from reid_dml.data.labels import LabelledImage, tidy
from reid_dml.data.times import tidy_time
from reid_dml.errors import UserError
from reid_dml.paths import require_file

logger = logging.getLogger(__name__)

SPREADSHEETS = (".xlsx", ".xlsm", ".xls", ".ods")  # tables to anybody who names one, if none that can be read
TABLES = (".csv", ".tsv", ".txt", *SPREADSHEETS)
HEADER = "path,person_id,camera_id,split"
REMEDY = f"a header line {HEADER} and a line per image"
# Other names of the columns, as other toolkits and people call them; case, blanks and underscores do not matter.
_COLUMNS = {
    "path": {"path", "image", "imagepath", "imgpath", "file", "filename", "filepath"},
    "person_id": {"personid", "person", "pid", "identity"},
    "camera_id": {"cameraid", "camera", "camid", "cam"},
    "split": {"split", "subset"},
    "time": {"time", "timestamp", "datetime"},
}
# What spreadsheets put where a cell cannot hold its value: an error, in any language, or a long number, rounded.
_CELL_ERROR = re.compile(r"#N/A|#NV|#\S+[!?]|#{2,}")
_ROUNDED = re.compile(r"[+-]?\d([.,]\d+)?E\+\d+", re.IGNORECASE)
_SHOWN = 200  # characters of a header that is none
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


class ImageTable(NamedTuple):
    """What a table says: its columns by our names, and its images in the order of its lines."""

    file: Path
    columns: frozenset[str]
    images: list[LabelledImage]

    def say_what_is_unknown(self, *, cameras: bool = True) -> None:
        """A line on the persons, and one on the cameras, that are left empty; `cameras` False: only on persons."""
        if cameras and not any(image.camera for image in self.images):
            logger.info("%s: no camera ids: all cameras are unknown, as with --cameras ignore", self.file)
            cameras = False
        for what in ("person", "camera") if cameras else ("person",):
            if empty := [image for image in self.images if not getattr(image, what)]:
                share = f"{len(empty):,} of {len(self.images):,} images"
                logger.info("%s: no %s id, which counts as unknown (%s)", empty[0].place, what, share)


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether a path is named like a table of images."""
    return Path(path).suffix.lower() in TABLES and not Path(path).is_dir()


def read_table(path: str | os.PathLike[str], remedy: str = f"name a CSV with {REMEDY}") -> ImageTable:
    """Read a table of images.

    Args:
        path: of the file; commas, semicolons, tabs or bars part its columns; UTF-8, UTF-16 or what Windows writes.
        remedy: what to do where there is no such file.

    Raises:
        UserError: naming file, line and remedy: no table, no column `path`, an image that is not there, a time
            that is none.
    """
    file = require_file(path, "the CSV list of images", remedy)
    text = _decode(file)
    delimiter = _delimiter(text)
    if delimiter != ",":
        logger.info("%s: columns are parted by %s", file, _DELIMITERS[delimiter])
    lines = _lines(file, text, delimiter)
    number, header = next(lines, (1, []))
    if header and header[0].lower().startswith("sep="):
        number, header = next(lines, (2, []))  # what tells a spreadsheet the delimiter
    columns = _columns(file, number, header)
    images, missing = [], []
    for number, cells in lines:
        if len(cells) > len(header) and any(cells[len(header) :]):
            raise UserError(
                f"{file}: line {number}: {len(cells)} fields where the header names {len(header)}; put fields that "
                f"hold {_DELIMITERS[delimiter]} in double quotes"
            )
        values = {name: cells[column] if column < len(cells) else "" for name, column in columns.items()}
        place = f"{file}: line {number}"
        if not values["path"]:
            raise UserError(f"{place}: path is empty; name the image, or remove the line")
        for name in ("path", "person_id", "camera_id"):
            _check_cell(place, name, values.get(name, ""))
        found = _find(file.parent, values["path"])
        if found is None:
            missing.append((place, values["path"]))
        images.append(
            LabelledImage(
                found or values["path"],
                tidy(values.get("person_id", "")),
                tidy(values.get("camera_id", "")),
                tidy(values.get("split", "")),
                iso_time(values.get("time", ""), place),
                place,
            )
        )
    if missing:
        raise UserError(_not_found(file.parent, missing, len(images)))
    if not images:
        raise UserError(f"{file}: names no images below its header; the file needs {REMEDY}")
    return ImageTable(file, frozenset(columns), images)


def iso_time(text: str, place: str) -> str:
    """A time as ISO 8601, or empty. Raises `UserError` for a text that is none."""
    text = text.strip()
    try:
        return tidy_time(text.replace("_", "T", 1))
    except ValueError:
        raise UserError(f"{place}: time {text!r} is not ISO 8601; write 2026-01-31T12:30:00") from None


def _decode(file: Path) -> str:
    data = file.read_bytes()
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UserError(f"{file}: a spreadsheet's own format, not a text; save it there as CSV UTF-8")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif data[1:2] == b"\0":
        encoding = "utf-16-le"
    elif data[:1] == b"\0":
        encoding = "utf-16-be"
    else:
        encoding = "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise UserError(f"{file}: not a CSV text file ({error}); the file needs {REMEDY}") from None
        text = data.decode("cp1252", errors="replace").replace("\ufffd", "?")
        line = data.count(b"\n", 0, error.start) + 1
        warnings.warn(
            f"{file}: line {line}: not UTF-8, read as Latin-1 (Windows-1252); save it as CSV UTF-8 if names look wrong",
            stacklevel=3,
        )
    if "\0" in text:
        raise UserError(f"{file}: not a CSV text file (it holds zero bytes); the file needs {REMEDY}")
    return text


def _delimiter(text: str) -> str:
    """What parts the columns: where the first line names most of ours, and has most columns."""
    first = next((line for line in text.splitlines() if line.strip()), "")[: csv.field_size_limit()]
    if first.lower().startswith("sep=") and len(first.strip("\r\n")) == 5:
        return first[4] if first[4] in _DELIMITERS else ","
    headers = {delimiter: next(csv.reader([first], delimiter=delimiter), []) for delimiter in _DELIMITERS}
    return max(_DELIMITERS, key=lambda delimiter: (len(_named(headers[delimiter])), len(headers[delimiter])))


def _named(header: list[str]) -> list[str]:
    """Our names of the columns of a header; empty for others."""
    plain = [re.sub(r"[\W_]", "", tidy(cell).lower()) for cell in header]
    return [name for cell in plain for name, others in _COLUMNS.items() if cell in others]


def _columns(file: Path, number: int, header: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for column, cell in enumerate(header):
        for name in _named([cell]):
            if name in found:
                raise UserError(
                    f"{file}: line {number}: {header[found[name]]!r} and {cell!r} both give the {name}; keep one"
                )
            found[name] = column
    if "path" not in found:
        there = f", only {', '.join(cell for cell in header if cell)[:_SHOWN]}" if any(header) else ""
        raise UserError(f"{file}: line {number}: no column path{there}; the file needs {REMEDY}")
    return found


def _check_cell(place: str, name: str, cell: str) -> None:
    if _CELL_ERROR.fullmatch(cell):
        raise UserError(f"{place}: {name} is {cell!r}, an error of the spreadsheet; mend the cell there")
    if name != "path" and _ROUNDED.fullmatch(cell):
        raise UserError(
            f"{place}: {name} is {cell!r}, a long number that the spreadsheet has rounded; format the column as text "
            "there and enter the ids again"
        )


def _lines(file: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(number of the first line, cells) of every line that is not blank."""
    lines = io.StringIO(text, newline="")
    # A quote that is never closed would take all lines behind it into one field; others may be read loosely.
    strict = text.count('"') % 2 == 1
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != "\t", strict=strict)
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f"{file}: line {number}: not a line of a CSV ({error}); put fields that hold quotes in double quotes, "
                "and each quote inside twice"
            ) from None
        if any(cell.strip() for cell in cells):
            yield number, [cell.strip() for cell in cells]


def _find(folder: Path, written: str) -> str | None:
    """The file a table names, with back-slashes and either form of accents; None if there is none."""
    for path in (written, written.replace("\\", "/")):
        for form in (path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path)):
            found = str(folder / os.path.expanduser(form))
            if os.path.isfile(found):
                return found
    return None


def _in_other_case(path: str) -> str:
    """The name of a file that differs from a path in capitals only, as systems that ignore them take it; or empty."""
    folder, name = os.path.split(path)
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return next((other for other in names if other.casefold() == name.casefold()), "")


def _not_found(folder: Path, missing: list[tuple[str, str]], count: int) -> str:
    place, written = missing[0]
    where = os.path.abspath(folder / written)
    if "\\" in written or re.match(r"[A-Za-z]:", written):
        remedy = "write paths with / as they are on this machine"
    elif os.path.exists(written):
        remedy = f"paths are relative to the list's folder, {folder.resolve()}, not to the working folder"
    elif other := _in_other_case(where):
        remedy = f"the file there is called {other}; write it so"
    else:
        remedy = f"paths are relative to the list's folder; correct the path or remove the line (looked for {where})"
    if os.path.isdir(where):
        return f"{place}: {written}: a folder where an image is expected; name an image file"
    others = f" ({len(missing):,} of {count:,} images are missing)" if len(missing) > 1 else ""
    return f"{place}: {written}: image not found{others}; {remedy}"
