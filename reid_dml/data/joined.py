"""Several re-identification data sets as one to train on, and another one to test on: ids and cameras kept apart."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Sequence

from reid_dml.data.records import ImageRecord, ReIDData

_SPLITS = ("train", "query", "gallery", "boxes")


def join_training(sets: Sequence[ReIDData]) -> ReIDData:
    """Their training images together, with persons and cameras of each that no other one has; one set as it is.

    Persons are called `set/id`, so that the rows of the heads say whom they stand for. Nothing to test on is in it.

    Args:
        sets: in order, each with a name of its own.
    """
    if len(sets) == 1:
        return dataclasses.replace(sets[0], query=(), gallery=(), boxes=())
    train: list[ImageRecord] = []
    names: dict[int, str] = {}
    persons = cameras = 0
    for data in sets:
        moved = [_moved(record, data, persons, cameras) for record in data.train]
        train += moved
        names |= {record.person_id: record.person for record in moved if record.person}
        persons = max(persons, *(record.person_id for record in moved))
        cameras = max(cameras, *(record.camera_id + 1 for record in moved))
    name = " + ".join(data.name for data in sets)
    root = os.path.commonpath([os.path.abspath(data.root) for data in sets])
    return ReIDData(name, root, train, (), (), original_ids=names)


def with_tests_of(trained: ReIDData, tested: ReIDData) -> ReIDData:
    """The training images of one data set with what another one has to test on, whose name it bears.

    Args:
        trained: whose training images are kept.
        tested: whose other splits are.
    """
    splits = {split: getattr(tested, split) for split in _SPLITS[1:]}
    trained_on = "" if trained.name == tested.name else trained.name
    return dataclasses.replace(trained, name=tested.name, trained_on=trained_on, **splits)


def repeated(names: Iterable[str]) -> str:
    """The first name that comes twice; empty if none does."""
    counts = Counter(names)
    return next((name for name, count in counts.items() if count > 1), "")


def _moved(record: ImageRecord, data: ReIDData, persons: int, cameras: int) -> ImageRecord:
    """A training image behind the persons and cameras of the sets before its own."""
    person = record.person_id
    camera = record.camera_id
    own = data.original_ids.get(person, record.person or str(person))
    return record._replace(
        person_id=person + persons if person > 0 else person,
        camera_id=camera + cameras if camera >= 0 else camera,
        person=f"{data.name}/{own}" if person > 0 else "",
        camera=f"{data.name}/{record.camera or camera}" if camera >= 0 else "",
    )
