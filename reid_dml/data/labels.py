"""Labels as people write them: persons and cameras in lists and names of folders, and what they are to us."""

from __future__ import annotations

import os
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

from reid_dml.data.records import DISTRACTOR, JUNK, UNKNOWN_CAMERA, UNKNOWN_PERSON, ImageRecord
from reid_dml.errors import UserError

_WHOLE = re.compile(r"([+-]?\d{1,18})([.,]0*)?")  # 13.0 and 13,0: spreadsheets make them of 13. Longer ones are words
_WORDS = {"distractor": DISTRACTOR, "distractors": DISTRACTOR, "junk": JUNK, "unknown": UNKNOWN_PERSON}


class LabelledImage(NamedTuple):
    """An image file and its labels as they were written; empty: not known.

    Attributes:
        path: of the file.
        person, camera: as written.
        split: train, query, gallery or boxes.
        time: ISO 8601.
        place: where the labels stand, for messages: a line of a list, or the file itself.
    """

    path: str
    person: str
    camera: str = ""
    split: str = ""
    time: str = ""
    place: str = ""


def tidy(text: str) -> str:
    """A text without what nobody sees: white space around it and twice in it, other forms of one character."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def whole_number(text: str) -> int | None:
    """The whole number that a text writes, or None."""
    match = _WHOLE.fullmatch(text)
    return int(match[1]) if match else None


def special_person(text: str) -> int | None:
    """What stands for no person of its own: -1 or `junk`, -2 or `unknown`, `distractor`; None for a person."""
    number = whole_number(text)
    if number in (JUNK, UNKNOWN_PERSON):
        return number
    return _WORDS.get(text.casefold()) if text else UNKNOWN_PERSON


def is_unknown_camera(text: str) -> bool:
    """Whether a camera is not known: nothing is written, or -1."""
    return not text or whole_number(text) == UNKNOWN_CAMERA


def number_ids(ids: Iterable[str]) -> dict[str, int]:
    """Custom ids as 1, 2, ... in a fixed order: whole numbers by value first, then words by spelling.

    Ours start at 1 because 0 and negative ids have a meaning (distractor, junk); yours may be any text, "0" included.
    """

    def order(text: str) -> tuple[int, int, str]:
        number = whole_number(text)
        return (1, 0, text) if number is None else (0, number, text)

    return {text: number for number, text in enumerate(sorted(set(ids), key=order), 1)}


def lasting_id(text: str) -> int:
    """An id that does not depend on which others there are: numbers from 1 keep theirs, all else gets a hash.

    For features, whose files are compared with each other: one person must have one id in all of them. Hashes lie
    between 2^40 and 2^53, which float64 holds exactly.
    """
    number = whole_number(text)
    if number is not None and 0 < number < 2**40:
        return number
    return 2**40 + int.from_bytes(sha256(text.encode(errors="surrogateescape")).digest()[:8], "big") % (2**53 - 2**40)


def lasting_camera(text: str) -> int:
    """The same of a camera, where 0 is one like any other."""
    return 0 if whole_number(text) == 0 else lasting_id(text)


def with_lasting_ids(record: ImageRecord) -> ImageRecord:
    """A record with the ids that its names have in every file, whatever numbers a data set gave them."""
    person = lasting_id(record.person) if record.person else record.person_id
    camera = lasting_camera(record.camera) if record.camera else record.camera_id
    return record._replace(
        person_id=person,
        camera_id=camera,
        person=_name(record.person, person),
        camera=_name(record.camera, camera),
    )


def records_of(
    images: Sequence[LabelledImage],
    *,
    cameras: bool = True,
    numbering: Callable[[Iterable[str]], dict[str, int]] | None = None,
) -> tuple[list[ImageRecord], dict[int, str]]:
    """Records of labelled images, in their order and with their names, and the persons' own names by our ids.

    Args:
        images: with labels as written.
        cameras: False: they are not read.
        numbering: of persons and of cameras; None: `lasting_id` and `lasting_camera` of each.

    Raises:
        UserError: one person, or one camera, in two spellings.
    """
    check_spellings([(image.person, image.place) for image in images if special_person(image.person) is None], "person")
    persons = {image.person for image in images if special_person(image.person) is None}
    numbers = numbering(persons) if numbering else {text: lasting_id(text) for text in persons}
    known = [image for image in images if cameras and not is_unknown_camera(image.camera)]
    check_spellings([(image.camera, image.place) for image in known], "camera")
    cameras_known = {image.camera for image in known}
    views = numbering(cameras_known) if numbering else {text: lasting_camera(text) for text in cameras_known}
    records = []
    for image in images:
        special = special_person(image.person)
        person = numbers[image.person] if special is None else special
        camera = views.get(image.camera, UNKNOWN_CAMERA) if cameras else UNKNOWN_CAMERA
        written = (image.person if special is None else "", image.camera if camera != UNKNOWN_CAMERA else "")
        person_name, camera_name = map(_name, written, (person, camera))
        records.append(ImageRecord(image.path, person, camera, None, image.time, person_name, camera_name))
    return records, {number: text for text, number in numbers.items()}


def _name(text: str, number: int) -> str:
    """A text that does not write this number itself; else it says no more, and the name is empty."""
    return "" if whole_number(text) == number else text


def check_spellings(written: Iterable[tuple[str, str]], what: str) -> None:
    """Refuse one number in two spellings (1 and 0001, 13 and 13.0); warn of words that differ in capitals only.

    Args:
        written: ids with the place of each.
        what: they are of, for messages: `person` or `camera`.

    Raises:
        UserError: naming both spellings and their places.
    """
    numbers: dict[int, tuple[str, str]] = {}
    words: dict[str, tuple[str, str]] = {}
    warned: set[str] = set()
    for text, place in written:
        number = whole_number(text)
        if number is not None:
            other, first = numbers.setdefault(number, (text, place))
            if other != text:
                raise UserError(
                    f"{place}: {what} id {text!r} is written {other!r} at {first}: write one {what} in one way"
                )
            continue
        key = text.casefold()
        other, first = words.setdefault(key, (text, place))
        if other != text and key not in warned:
            warned.add(key)
            warnings.warn(
                f"{place}: {what} id {text!r} and {other!r} at {first} differ in capitals only and count as two "
                f"{what}s; write one {what} in one way",
                stacklevel=2,
            )


def file_key(path: str) -> tuple[int, int, int] | str:
    """What two paths of one file have in common, through links and `./`."""
    try:
        found = os.stat(path)
    except OSError:
        return os.path.abspath(path)
    return found.st_dev, found.st_ino, found.st_size


def without_repeats(images: Sequence[LabelledImage]) -> list[LabelledImage]:
    """The images, each file once; a warning names the first that was given twice.

    A file may stand in several splits: `sets.checks.check_data` says what that means.

    Raises:
        UserError: one file with two persons or, in one split, with two cameras.
    """
    seen: dict[tuple[object, str], LabelledImage] = {}
    persons: dict[object, LabelledImage] = {}
    kept, repeated = [], []
    for image in images:
        key = file_key(image.path)
        first = persons.setdefault(key, image)
        if first.person != image.person:
            raise UserError(
                f"{image.place}: {image.path} is an image of person {image.person!r}, but of {first.person!r} at "
                f"{first.place}; keep the right one"
            )
        other = seen.setdefault((key, image.split), image)
        if other is image:
            kept.append(image)
        elif not is_unknown_camera(image.camera) and other.camera != image.camera:
            raise UserError(
                f"{image.place}: {image.path} is from camera {image.camera!r}, but from {other.camera!r} at "
                f"{other.place}; keep the right one"
            )
        else:
            repeated.append((image, other))
    if repeated:
        image, other = repeated[0]
        warnings.warn(
            f"{image.place}: {image.path} is given at {other.place} already and read once"
            + (f" (so are {len(repeated) - 1:,} more)" if len(repeated) > 1 else "")
            + "; give every image once",
            stacklevel=2,
        )
    return kept
