"""What persons and cameras are called, where their ids are numbers that we gave them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from reid_dml.data.labels import tidy, whole_number
from reid_dml.data.records import DISTRACTOR, UNKNOWN_CAMERA, ImageRecord
from reid_dml.errors import UserError


@dataclass(frozen=True)
class Names:
    """Names by id; an id that is not among them is its own name.

    Attributes:
        persons: of person ids from 1 on.
        cameras: of camera ids from 0 on.

    Raises:
        ValueError: on construction, if two ids have one name.
    """

    persons: Mapping[int, str] = field(default_factory=dict)
    cameras: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, called in (("person", self.persons), ("camera", self.cameras)):
            numbers = dict[str, int]()
            for number, name in called.items():
                if (other := numbers.setdefault(name, number)) != number:
                    raise ValueError(f"names: {what}s {other} and {number} are both called {name!r}; give them one id")

    def __bool__(self) -> bool:
        return bool(self.persons or self.cameras)

    @staticmethod
    def of(records: Iterable[ImageRecord]) -> Names:
        """The names that records carry."""
        persons, cameras = dict[int, str](), dict[int, str]()
        for record in records:
            if record.person:
                persons[record.person_id] = record.person
            if record.camera:
                cameras[record.camera_id] = record.camera
        return Names(persons, cameras)

    def among(self, person_ids: np.ndarray, camera_ids: np.ndarray) -> Names:
        """The names of those that are there; (N,) int64 ids."""
        if not self:
            return self
        persons, cameras = (np.unique(ids).tolist() for ids in (person_ids, camera_ids))
        return Names(
            {number: self.persons[number] for number in persons if number > DISTRACTOR and number in self.persons},
            {number: self.cameras[number] for number in cameras if number > UNKNOWN_CAMERA and number in self.cameras},
        )

    def joined(self, other: Names, where: str, other_where: str) -> Names:
        """These names and others.

        Args:
            other: the others.
            where, other_where: what messages call the two sides.

        Raises:
            UserError: one id has two names, or one name two ids: numbers that were given apart mean nothing to each
                other.
        """
        return Names(
            _joined(self.persons, other.persons, "person", where, other_where),
            _joined(self.cameras, other.cameras, "camera", where, other_where),
        )

    def text(self) -> str:
        """All of them for a file: JSON of ASCII characters, ids in rising order; empty if there are none."""
        sides = {"persons": self.persons, "cameras": self.cameras}
        found = {side: {str(number): names[number] for number in sorted(names)} for side, names in sides.items()}
        return json.dumps(found) if self else ""

    @staticmethod
    def read(text: str) -> Names:
        """The names that `text` wrote. Raises `ValueError` for anything else."""
        if not text:
            return Names()
        try:
            content = json.loads(text)
            sides = [{int(number): name for number, name in content[side].items()} for side in ("persons", "cameras")]
            if not all(isinstance(name, str) for side in sides for name in side.values()):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ValueError('names must be JSON such as {"persons": {"1": "anna"}, "cameras": {}}') from None
        return Names(*sides)


def id_of(text: str, called: Mapping[int, str]) -> int | None:
    """The id that a user means: of the one of this name, else the number itself; None for another text.

    The name comes first: somebody's camera 1 may be called 7.
    """
    text = tidy(text)
    return {name: number for number, name in called.items()}.get(text, whole_number(text))


def _joined(
    ours: Mapping[int, str], theirs: Mapping[int, str], what: str, where: str, other_where: str
) -> Mapping[int, str]:
    remedy = "number them in one way: make both files with reid-dml extract"
    numbers = {name: number for number, name in ours.items()}
    for number, name in theirs.items():
        if (known := ours.get(number, name)) != name:
            raise UserError(f"{where}: {what} {number} is {known!r}, but {name!r} in {other_where}; {remedy}")
        if (known_number := numbers.get(name, number)) != number:
            raise UserError(f"{where}: {what} {name!r} is {known_number}, but {number} in {other_where}; {remedy}")
    return {**ours, **theirs}
