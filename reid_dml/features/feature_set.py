"""The value object between networks and search, and its own file format."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from reid_dml.data.records import ImageRecord
from reid_dml.data.times import moment_of
from reid_dml.digests import digest_of
from reid_dml.errors import UserError
from reid_dml.features.names import Names
from reid_dml.features.validation import check_finite, check_list, check_text
from reid_dml.files import save_with
from reid_dml.paths import require_file

_FIELDS = {"features": "float32 (N, D)", "person_ids": "int64 (N,)", "camera_ids": "int64 (N,)"}
_OPTIONAL = ("paths", "model", "times", "names", "clothes")
_REMEDY = "make it anew with reid-dml extract, or write the arrays that docs/evaluation.md names"
_ROW_NAME = re.compile(r"row \d+")
_ROWS = 8192  # looked at at a time
_HEAVY = 0.9  # share of the mean square that is the offset's
_MAGIC = (b"PK", b"\x93NUMPY")  # how .npz and .npy files begin


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features of N images and what is known of each.

    Attributes:
        features: (N, D) float32, finite.
        person_ids: (N,) int64: >= 1 a person, 0 distractor, -1 junk, -2 unknown.
        camera_ids: (N,) int64: >= 0 a camera, -1 unknown.
        paths: (N,) str.
        model: fingerprint of the networks that made the features (`features.fingerprint`); empty: unknown.
        times: (N,) str, ISO 8601, empty: unknown; a single one is that of all.
        names: what these persons and cameras are called where their ids do not say it; others are left out.
        clothes: (N,) int64, number of a person's outfit where matches must not wear the query's; 0: not known, or not
            asked for; a single one is that of all.

    Raises:
        ValueError: on construction, if shapes or types do not fit, or for a time that is none.
    """

    features: np.ndarray
    person_ids: np.ndarray
    camera_ids: np.ndarray
    paths: np.ndarray
    model: str = ""
    times: np.ndarray = field(default_factory=lambda: np.array(""))
    names: Names = field(default_factory=Names)
    clothes: np.ndarray = field(default_factory=lambda: np.array(0))

    def __post_init__(self) -> None:
        features = _column("features", self.features)
        object.__setattr__(self, "paths", _column("paths", self.paths, np.str_))
        times = _column("times", self.times, np.str_)
        object.__setattr__(self, "times", np.full(features.shape[:1], times) if times.ndim == 0 else times)
        clothes = _column("clothes", self.clothes)
        object.__setattr__(self, "clothes", np.full(features.shape[:1], clothes) if clothes.ndim == 0 else clothes)
        for name in ("person_ids", "camera_ids", "clothes"):
            ids = _column(name, getattr(self, name))
            if ids.dtype.kind not in "iu":
                raise ValueError(f"{name} must be whole numbers, got {ids.dtype}")
            object.__setattr__(self, name, whole_ids(name, ids))
        if features.dtype != np.float32:
            raise ValueError(f"features must be float32, got {features.dtype}")
        object.__setattr__(self, "features", np.ascontiguousarray(features))
        if features.ndim != 2 or not features.shape[1]:
            raise ValueError(f"features must be (N, D), got {features.shape}")
        for name in ("person_ids", "camera_ids", "paths", "times", "clothes"):
            if getattr(self, name).shape != (len(features),):
                raise ValueError(f"{name} must be ({len(features)},), got {getattr(self, name).shape}")
        _check_times(self.times)
        check_text("model", self.model)
        if not isinstance(self.names, Names):
            raise ValueError(f"names: must be Names(persons, cameras), got {type(self.names).__name__}")
        object.__setattr__(self, "names", self.names.among(self.person_ids, self.camera_ids))

    def __len__(self) -> int:
        return len(self.features)

    def with_features(self, features: np.ndarray) -> FeatureSet:
        """The same images with other features of the same model, e.g. normalised or pooled ones."""
        return replace(self, features=features)

    def select(self, rows: np.ndarray) -> FeatureSet:
        """The images at these positions, or where a mask is true. Raises `ValueError` for others than there are."""
        columns = ("features", "person_ids", "camera_ids", "paths", "times", "clothes")
        try:
            return replace(self, **{name: getattr(self, name)[rows] for name in columns})
        except IndexError as error:
            raise ValueError(f"rows: {error}") from None

    @staticmethod
    def of(features: np.ndarray, records: Sequence[ImageRecord], model: str = "") -> FeatureSet:
        """Features of records.

        Args:
            features: (N, D) float32.
            records: N, in the same order.
            model: fingerprint of the networks that made the features; empty: unknown.

        Raises:
            ValueError: what are no records, and as on construction.
        """
        check_list("records", records, ImageRecord)
        return FeatureSet(
            features,
            np.array([record.person_id for record in records], np.int64),
            np.array([record.camera_id for record in records], np.int64),
            np.array([record.path for record in records], np.str_),
            model,
            np.array([record.time for record in records], np.str_),
            Names.of(records),
            np.array([record.clothes for record in records], np.int64),
        )

    def records(self) -> list[ImageRecord]:
        """Path, person, camera and time of every image."""
        columns = (self.paths, self.person_ids, self.camera_ids, self.times, self.clothes)
        persons, cameras = self.names.persons, self.names.cameras
        return [
            ImageRecord(path, person, camera, None, time, persons.get(person, ""), cameras.get(camera, ""), clothes)
            for path, person, camera, time, clothes in zip(*(column.tolist() for column in columns), strict=True)
        ]

    @property
    def has_times(self) -> bool:
        """Whether the time of any image is known."""
        return bool((self.times != "").any())

    @property
    def has_clothes(self) -> bool:
        """Whether matches must not wear the query's clothes, of any image."""
        return bool(self.clothes.any())

    def digest(self) -> str:
        """SHA-256 of everything in it, for formats that have no checksum of their own (.npz files are zip files).

        Without times, names and clothes it is that of earlier versions.
        """
        ids = (np.ascontiguousarray(column, "<i8") for column in (self.person_ids, self.camera_ids))
        more = [*(self.times.tolist() if self.has_times else ()), *([self.names.text()] if self.names else ())]
        texts = "\0".join([*self.paths.tolist(), self.model, *more]).encode(errors="surrogateescape")
        clothes = [np.ascontiguousarray(self.clothes, "<i8")] if self.has_clothes else []
        return digest_of([np.ascontiguousarray(self.features, "<f4"), *ids, texts, *clothes])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a feature file (`.npz` without pickled objects), atomically."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in (*_FIELDS, "paths")}
        if self.model:
            arrays["model"] = self.model
        if self.has_times:
            arrays["times"] = self.times
        if self.has_clothes:
            arrays["clothes"] = self.clothes
        if self.names:
            arrays["names"] = self.names.text()

        def write(draft: Path) -> None:
            with draft.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)

        save_with(path, write)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> FeatureSet:
        """Read a feature file that `save` wrote, or any .npz like it; other formats: `formats.read_features`.

        Features of other float types become float32, ids that are whole numbers in a float type whole. A file without
        `paths` gets `row 0`, `row 1`, ...; one without `model` says nothing of the networks, one without `times` or
        `names` knows none. Raises `UserError` naming the file and what is wrong with it.
        """
        path = require_file(path, "the feature file", "make one with reid-dml extract")
        arrays = _read_arrays(path)
        if arrays["features"].dtype.kind == "f":
            with np.errstate(over="ignore"):  # what float32 cannot hold is found as infinite below
                arrays["features"] = arrays["features"].astype(np.float32, copy=False)
        arrays.setdefault("paths", row_names(len(np.atleast_1d(arrays["features"]))))
        try:
            for name in ("paths", "model", "times", "names"):
                _check_characters(name, arrays.get(name, np.array("")))
            model, names = (str(arrays.pop(name, "")) for name in ("model", "names"))
            arrays |= {name: whole_ids(name, arrays[name]) for name in ("person_ids", "camera_ids")}
            features = FeatureSet(**arrays, model=model, names=Names.read(names))
        except ValueError as error:
            raise UserError(f"{path}: {error}; {_REMEDY}") from None
        return check_finite(features, str(path))


def check_feature_sets(**sides: object) -> None:
    """Raise `ValueError` for arguments, by name, that are no feature sets."""
    for name, side in sides.items():
        if not isinstance(side, FeatureSet):
            raise ValueError(
                f"{name}: must be a FeatureSet, got {type(side).__name__}; make one of arrays with "
                "FeatureSet(features=, person_ids=, camera_ids=, paths=)"
            )


def _column(name: str, value: object, dtype: type | None = None) -> np.ndarray:
    try:
        return np.asarray(value, dtype)
    except (TypeError, ValueError, RuntimeError) as error:  # tensors of a GPU, or with a gradient; ragged lists
        raise ValueError(f"{name}: must be an array, got {type(value).__name__} ({error})") from None


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a feature file by name, those of `_OPTIONAL` only where the file has them."""
    if not is_npz(path):
        remedy = _REMEDY
        if path.suffix.lower() in (".parquet", ".mat"):
            remedy = "read it with reid_dml.features.formats.read_features, or convert it (reid-dml convert)"
        raise UserError(f"{path}: not a .npz file; {remedy}")
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            raise UserError(f"{path}: a single array, not a feature file; {_REMEDY}")
        with content as file:
            absent = [f"{name}: {kind}" for name, kind in _FIELDS.items() if name not in file.files]
            if any(name.endswith("data.pkl") for name in file.files):
                raise UserError(
                    f"{path}: a torch file; write its arrays with numpy.savez, as docs/evaluation.md names them"
                )
            if absent:
                raise UserError(f"{path}: not a feature file, it lacks {', '.join(absent)}; {_REMEDY}")
            found = {name: file[name] for name in (*_FIELDS, *_OPTIONAL) if name in file.files}
        if strange := [name for name, value in found.items() if not isinstance(value, np.ndarray)]:
            raise UserError(f"{path}: {strange[0]} is no array; {_REMEDY}")
        return found
    except (UserError, PermissionError):
        raise
    except Exception as error:  # damage makes the readers of zip files and of array headers fail in a dozen ways
        if "allow_pickle" in str(error):
            raise UserError(f"{path}: holds pickled objects, which are not opened; {_REMEDY}") from None
        raise UserError(f"{path}: not a whole .npz file, perhaps truncated ({error}); {_REMEDY}") from None


def row_names(count: int) -> np.ndarray:
    """What images without names are called, (count,)."""
    return np.array([f"row {row}" for row in range(count)], np.str_)


def is_row_name(path: str) -> bool:
    """Whether this is what an image without a name is called: it says nothing of which image it is."""
    return _ROW_NAME.fullmatch(path) is not None


def whole_ids(name: str, ids: np.ndarray) -> np.ndarray:
    """Ids as int64. Raises `ValueError` naming the first that is no whole number, or too large to be told apart."""
    if ids.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be whole numbers, got {ids.dtype}")
    if ids.dtype.kind == "f":
        bad = ~(np.abs(ids) <= 2.0**53) | (ids != np.round(ids))  # NaN compares with nothing
    else:
        bad = ids > np.iinfo(np.int64).max if ids.dtype == np.uint64 else np.zeros(ids.shape, bool)
    if bad.any():
        place = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{name} must be whole numbers up to 2^53, row {place} is {ids.ravel()[place]!s}")
    return ids.astype(np.int64, copy=False)


def _check_times(times: np.ndarray) -> None:
    for row in np.flatnonzero(times != "").tolist():
        try:
            moment_of(str(times[row]))
        except ValueError:
            raise ValueError(f"times must be ISO 8601, row {row} is {str(times[row])!r}") from None


def _check_characters(name: str, texts: np.ndarray) -> None:
    """Raise `ValueError` naming the first text with characters that no file can be given: numpy takes any number.

    Those that stand for bytes of file names (U+DC80 to U+DCFF, as `os.fsdecode` makes them) are allowed, but for a
    model, whose text is none of a file system's.
    """
    width = texts.dtype.itemsize // 4
    if texts.dtype.kind != "U" or not width:
        return
    flat = np.ascontiguousarray(texts.ravel(), texts.dtype.newbyteorder("="))
    codes = flat.view(np.uint32).reshape(texts.size, width)
    for row in np.flatnonzero(codes.max(axis=1) >= 0xD800).tolist():  # most texts have none of so high a number
        found = codes[row]
        byte = (found >= 0xDC80) & (found <= 0xDCFF) & (name != "model")
        surrogate = (found >= 0xD800) & (found <= 0xDFFF)
        if (bad := found[surrogate & ~byte | (found > sys.maxunicode)]).size:
            where = f"{name}, row {row}" if texts.ndim else name
            raise ValueError(f"{where}: U+{bad[0]:04X} is no character that a text can hold")


def is_npz(path: Path) -> bool:
    """Whether a file begins as .npz and .npy files do."""
    with path.open("rb") as opened:
        return opened.read(8).startswith(_MAGIC)


def normalize(features: np.ndarray) -> np.ndarray:
    """Rows scaled to Euclidean length 1, (N, D) float32; a zero row stays zero."""
    tiny = np.finfo(np.float32).tiny
    # The largest entry first: squares of very large or small ones would leave float32.
    scaled = features / np.maximum(np.abs(features).max(axis=1, keepdims=True, initial=0), tiny)
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    return (scaled / np.maximum(norms, tiny)).astype(np.float32, copy=False)


def common_offset(features: np.ndarray, counted: np.ndarray | None = None) -> np.ndarray:
    """The mean of features, without which Euclidean distances are computed of smaller numbers.

    Args:
        features: (N, D) float32.
        counted: (N,) bool, rows that matter; None: all.

    Returns:
        (D,) float32; whole numbers where all features are, so that what is exact stays exact.
    """
    total, count = np.zeros(features.shape[1]), 0
    for start in range(0, len(features), _ROWS):
        part = features[start : start + _ROWS]
        part = part if counted is None else part[counted[start : start + _ROWS]]
        total, count = total + part.sum(axis=0, dtype=np.float64), count + len(part)
    mean = total / max(count, 1)
    return (np.rint(mean) if whole_numbers(features) else mean).astype(np.float32)


def heavy_offset(features: np.ndarray, squares: np.ndarray, counted: np.ndarray | None = None) -> np.ndarray | None:
    """The offset that features share, where it costs digits of the distances between them; None where it does not.

    Args:
        features: (N, D) float32.
        squares: (N,) float64, their squared lengths.
        counted: (N,) bool, rows that matter; None: all.
    """
    offset = common_offset(features, counted)
    count, total = (len(squares), squares.sum()) if counted is None else (counted.sum(), squares.sum(where=counted))
    return offset if count * (offset.astype(np.float64) ** 2).sum() > _HEAVY * total else None


def whole_numbers(features: np.ndarray) -> bool:
    """Whether all entries are whole numbers; answers at the first part that has others."""
    parts = (features[start : start + _ROWS] for start in range(0, len(features), _ROWS))
    return all(bool((part[:1] == np.rint(part[:1])).all() and (part == np.rint(part)).all()) for part in parts)


def power_of_two_scale(largest: float) -> np.float32:
    """A factor that brings the largest magnitude near 1, or 1 where it is; exact in float32, so ties stay ties."""
    return np.float32(
        1 if largest == 0 or 2**-40 < largest < 2**40 else 2.0 ** min(127, -math.ceil(math.log2(largest)))
    )
