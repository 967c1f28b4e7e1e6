"""What every re-identification data set must satisfy before an experiment starts on it."""

from __future__ import annotations

import warnings
from dataclasses import replace

from reid_dml.data.labels import file_key
from reid_dml.data.records import DISTRACTOR, UNKNOWN_CAMERA, ImageRecord, ReIDData
from reid_dml.errors import UserError

_SPLITS = ("train", "query", "gallery", "boxes")
_FROM_ONE = "number persons from 1, or list the images in a CSV (DATA.NAME csv), where ids are free"


def check_data(data: ReIDData, *, tested: bool = True, cameras: str = "required") -> ReIDData:
    """The same data, its cameras as they are asked for, or a `UserError` that says which split is unusable and why.

    There may be no images to train on, which matters to training only (`load_data`).

    Args:
        data: the four splits.
        tested: False: it is to train on only, and has no queries and no gallery.
        cameras: `DATA.CAMERAS`; `ignore`: all count as unknown.
    """
    if cameras == "ignore":
        data = _without_cameras(data)
    for split in ("query", "gallery") if tested else ("train",):
        if not getattr(data, split):
            raise UserError(f"{data.root}: the {split} split is empty; {data.name} needs images in it")
    junk = next((record for record in data.train if record.person_id < 1), None)
    if junk is not None:
        raise UserError(
            f"{junk.path}: training images need a person id of 1 or more, this is {junk.person_id}; "
            + (f"0 is a distractor by Market's rule: {_FROM_ONE}" if junk.person_id == DISTRACTOR else "move it")
        )
    if data.train and len(data.class_ids) < 2:
        raise UserError(
            f"{data.root}: the train split has one identity only ({data.class_ids[0]}); a classifier needs at least two"
        )
    _check_repeats(data)
    if tested:
        _check_queries(data)
        _check_matches(data)
    return data


def _without_cameras(data: ReIDData) -> ReIDData:
    train, query, gallery, boxes = (
        [record._replace(camera_id=UNKNOWN_CAMERA) for record in getattr(data, split)] for split in _SPLITS
    )
    return replace(data, train=train, query=query, gallery=gallery, boxes=boxes)


def _check_queries(data: ReIDData) -> None:
    """Say that queries of person 0 match nothing, which people who count from 0 do not expect."""
    found = [record for record in data.query if record.person_id == DISTRACTOR]
    if found:
        warnings.warn(
            f"{found[0].path}: {len(found):,} queries are of person 0, a distractor by Market's rule, and match "
            f"nothing; {_FROM_ONE}",
            stacklevel=3,
        )


def _check_repeats(data: ReIDData) -> None:
    """Find files that are in two places: with two persons they are refused, else a line says what follows."""
    first: dict[object, tuple[str, ImageRecord]] = {}
    found: dict[str, list[tuple[ImageRecord, ImageRecord]]] = {}
    # Market's boxes hold copies of the other images, and a disk may hold copies once: they count for persons only.
    for split in _SPLITS:
        for record in getattr(data, split):
            where, other = first.setdefault(file_key(record.path), (split, record))
            if other is record:
                continue
            if other.person_id != record.person_id:
                names = [data.original_ids.get(r.person_id, str(r.person_id)) for r in (record, other)]
                raise UserError(
                    f"{record.path} ({split}): an image of person {names[0]}, but as {other.path} ({where}) of person "
                    f"{names[1]}; keep the right one"
                )
            same_camera = record.camera_id == other.camera_id != UNKNOWN_CAMERA
            if split == "boxes" or ((where, split) == ("query", "gallery") and same_camera):
                continue
            found.setdefault(f"{where} {split}", []).append((record, other))
    for splits, pairs in found.items():
        where, split = splits.split()
        record, other = pairs[0]
        if where == split:
            told = f"are twice in {split} and count twice: remove one of each"
        elif where == "train":
            told = f"are in train and in {split} too: networks are tested on what they learnt"
        else:
            told = "are in query and in gallery: a query's own image is left out of its ranking"
        warnings.warn(
            f"{data.root}: {len(pairs):,} images {told}; first {record.path}"
            + (f" ({other.path})" if other.path != record.path else ""),
            stacklevel=3,
        )


def _check_matches(data: ReIDData) -> None:
    """Explain now why no query could ever find a match, instead of after hours of training."""
    cameras: dict[int, set[int]] = {}
    for record in data.gallery:
        cameras.setdefault(record.person_id, set()).add(record.camera_id)
    known = [record for record in data.query if record.person_id > 0 and record.person_id in cameras]
    if not known:
        raise UserError(
            f"{data.root}: no person id of the query split appears in the gallery; check how the ids of the "
            "two splits are written"
        )
    if any(r.camera_id == UNKNOWN_CAMERA or cameras[r.person_id] != {r.camera_id} for r in known):
        return
    seen = sorted({record.camera_id for record in (*data.query, *data.gallery)})
    raise UserError(
        f"{data.root}: every query would lose all its matches, because images of the query's own camera do not count "
        f"and each person was seen by one camera only (camera ids present: {', '.join(map(str, seen[:8]))}); if the "
        "data has one camera or none, set DATA.CAMERAS ignore"
    )
