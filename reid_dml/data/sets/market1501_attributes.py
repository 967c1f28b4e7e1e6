"""Market-1501's attributes (Lin et al., Pattern Recognition 2019) as classes: does a network know gender, age, colours?

`market_attribute.mat` has 27 attributes of each of the 1,501 persons, 17 of which are whether the upper or the lower
body wears a colour. `PROTOCOL.ATTRIBUTE` names what is learnt: ten of them as they are, or one of the colours, each a
class: the twelve tasks by which its authors evaluate.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from yacs.config import CfgNode

from reid_dml.data.records import DISTRACTOR, ClassificationData, ImageRecord, ReIDData
from reid_dml.data.sets import register_data
from reid_dml.data.sets.found import child
from reid_dml.data.sets.market1501 import TERMS, load_market1501
from reid_dml.data.sets.protocol import SECTION, ProtocolOptions
from reid_dml.errors import UserError, absolute

FILE = "market_attribute.mat"
_YES_NO = ("no", "yes")
# What the numbers of the file stand for, from 1 on.
VALUES = {
    "age": ("young", "teenager", "adult", "old"),
    "backpack": _YES_NO,
    "bag": _YES_NO,
    "handbag": _YES_NO,
    "hat": _YES_NO,
    "clothes": ("dress", "pants"),
    "down": ("long", "short"),
    "up": ("long sleeve", "short sleeve"),
    "hair": ("short", "long"),
    "gender": ("male", "female"),
}
# One of them is yes (2) for each person.
COLOURS = {
    "upcolour": ("black", "white", "red", "purple", "yellow", "gray", "blue", "green"),
    "downcolour": ("black", "white", "pink", "purple", "yellow", "gray", "blue", "green", "brown"),
}


def read_attribute(file: Path, attribute: str) -> dict[int, str]:
    """The value of an attribute by person; who has none, or two colours, is left out.

    Raises `UserError` for a file that is damaged or holds no such attribute.
    """
    from scipy.io import loadmat  # takes its time

    try:
        content = loadmat(str(file), squeeze_me=True, struct_as_record=False)["market_attribute"]
        parts = [getattr(content, part) for part in ("train", "test")]
        found: dict[int, str] = {}
        for part in parts:
            persons = [int(str(name)) for name in np.atleast_1d(part.image_index)]
            found |= dict(_values(persons, part, attribute))
    except Exception as error:  # a damaged MATLAB file makes its reader fail in many ways
        raise UserError(f"{file}: not the attributes of Market-1501 ({error}); copy it again") from None
    return found


def _values(persons: list[int], part: Any, attribute: str) -> Iterable[tuple[int, str]]:
    if attribute in VALUES:
        words = VALUES[attribute]
        for person, number in zip(persons, np.atleast_1d(getattr(part, attribute)).tolist(), strict=True):
            if not 1 <= number <= len(words):
                raise ValueError(f"{attribute} of person {person} is {number}")
            yield person, words[int(number) - 1]
        return
    colours, where = COLOURS[attribute], attribute.removesuffix("colour")
    table = np.stack([np.atleast_1d(getattr(part, f"{where}{colour}")) for colour in colours])
    for person, column in zip(persons, table.T.tolist(), strict=True):
        if column.count(2) == 1:
            yield person, colours[column.index(2)]


def labelled(
    records: Iterable[ImageRecord], values: Mapping[int, str], numbers: Mapping[str, int]
) -> list[ImageRecord]:
    """Images of persons with a value as images of classes, others left out.

    Args:
        records: images of persons.
        values: by person.
        numbers: of the classes by value.
    """
    return [
        ImageRecord.of_class(record.path, numbers[values[record.person_id]])
        for record in records
        if record.person_id in values
    ]


@register_data(
    "market1501_attributes",
    task="classification",
    section=SECTION,
    options=ProtocolOptions,
    protocol=("ATTRIBUTE",),
    terms=TERMS,
    research_only=True,
)
def load_market1501_attributes(cfg: CfgNode) -> ClassificationData:
    """Training images of Market-1501 to learn `PROTOCOL.ATTRIBUTE` from; to test on, the gallery's of known persons.

    `market_attribute.mat` lies beside Market-1501's folder or in it.
    """
    data = load_market1501(cfg)
    assert isinstance(data, ReIDData)
    root = Path(cfg.DATA.ROOT)
    places = (root, Path(data.root), root / "Market-1501_Attribute", root / "Market-1501_Attribute-master")
    file = next((found for place in places if (found := child(place, FILE))), None)
    if file is None:
        raise UserError(f"{absolute(root / FILE)}: not found; copy it there (see datasets/README.md)")
    attribute = cfg.PROTOCOL.ATTRIBUTE
    values = read_attribute(file, attribute)
    test = [record for record in data.gallery if record.person_id > DISTRACTOR]
    persons = {record.person_id for record in (*data.train, *test)}
    if lost := sorted(persons - values.keys()):
        warnings.warn(
            f"{file}: {len(lost):,} of {len(persons):,} persons have no {attribute}, or two, and are left out, first "
            f"{lost[0]}",
            stacklevel=2,
        )
    trained = {values[record.person_id] for record in data.train if record.person_id in values}
    known = [word for word in {**VALUES, **COLOURS}[attribute] if word in trained]
    if len(known) < 2:
        raise UserError(f"{file}: {attribute}: the training persons have one value only; choose another attribute")
    numbers = {word: number for number, word in enumerate(known, 1)}
    values = {person: word for person, word in values.items() if word in numbers}
    return ClassificationData(
        f"market1501_{attribute}",
        data.root,
        labelled(data.train, values, numbers),
        labelled(test, values, numbers),
        original_ids={number: word for word, number in numbers.items()},
    )
