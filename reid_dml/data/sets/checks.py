"""What every re-identification data set must satisfy before an experiment starts on it."""

from __future__ import annotations

from reid_dml.data.records import UNKNOWN_CAMERA, ReIDData
from reid_dml.errors import UserError


def check_data(data: ReIDData) -> ReIDData:
    """The same data, or a `UserError` that says which split is unusable and why."""
    for split in ("train", "query", "gallery"):
        if not getattr(data, split):
            raise UserError(f"{data.root}: the {split} split is empty; {data.name} needs images in it")
    junk = next((record for record in data.train if record.person_id < 1), None)
    if junk is not None:
        raise UserError(
            f"{junk.path}: training images need a person id of 1 or more, this is {junk.person_id}; move it"
        )
    if len(data.class_ids) < 2:
        raise UserError(
            f"{data.root}: the train split has one identity only ({data.class_ids[0]}); a classifier needs at least two"
        )
    _check_matches(data)
    return data


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
