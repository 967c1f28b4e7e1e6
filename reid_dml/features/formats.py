"""Feature files of every format: our .npz, Parquet, and MATLAB's .mat in the layouts its evaluators read.

Parquet: a row for each image with the columns `path`, `person_id`, `camera_id`, `feature` (a list of float32) and,
where times are known, `time`; model and names are the schema's metadata `reid_dml.model` and `reid_dml.names`.

Both carry the digest of their set (`FeatureSet.digest`; metadata `reid_dml.sha256`, variable `sha256`).

.mat, for one set: `feature` (N, D) single, `label` and `cam` (1, N), and, where they are known, `path` and `time`
(cells), `model` and `names`. For several sets in one file, the names of Person_reID_baseline_pytorch: `gallery_f`,
`gallery_label`, `gallery_cam`, the same with `query_` and, for multi-query, with `mquery_`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reid_dml.digests import check_digest, verifies
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet, is_npz, row_names, whole_ids
from reid_dml.features.names import Names
from reid_dml.features.validation import check_finite
from reid_dml.files import save_with
from reid_dml.paths import require_file
from reid_dml.text import from_utf8, to_utf8

SPLITS = {"query": "query_", "gallery": "gallery_", "multi_query": "mquery_"}
SUFFIXES = (".npz", ".parquet", ".mat")
_MODEL, _NAMES, _DIGEST = b"reid_dml.model", b"reid_dml.names", b"reid_dml.sha256"
_REMEDY = "see docs/search.md for the layout"
_LISTS = (pa.ListArray, pa.LargeListArray, pa.FixedSizeListArray)
_LARGEST = 2**31 - 1  # bytes of a variable in a .mat file


def read_features(path: str | os.PathLike[str], split: str = "") -> FeatureSet:
    """Read a feature file: .parquet, .mat, or .npz, which may have any other name.

    Args:
        path: the file.
        split: of a .mat file with several sets, which: `query`, `gallery` or `multi_query`.

    Raises:
        UserError: naming the file and what is wrong with it.
    """
    path = require_file(path, "the feature file", "make one with reid-dml extract")
    if split and path.suffix.lower() != ".mat":
        raise UserError(f"{path}: --split {split}: holds one set of features only; leave it out")
    if path.suffix.lower() == ".parquet":
        return check_finite(_read_parquet(path), str(path))
    if path.suffix.lower() == ".mat":
        return check_finite(_read_mat(path, split), str(path))
    if not is_npz(path):
        check_name(path)
    return FeatureSet.load(path)


def write_features(features: FeatureSet, path: str | os.PathLike[str]) -> None:
    """Write a .npz, .parquet or .mat file of one set, atomically."""
    path = Path(path)
    writers: Mapping[str, Callable[[], None]] = {
        ".npz": lambda: features.save(path),
        ".parquet": lambda: _write_parquet(features, path),
        ".mat": lambda: _write_mat(_variables(features, ""), path),
    }
    check_name(path)
    if path.suffix != ".npz":
        _check_clothes(features, path)
    writers[path.suffix]()


def write_splits(sets: Mapping[str, FeatureSet], path: str | os.PathLike[str]) -> None:
    """Write one .mat file of several sets, named as in `SPLITS`, atomically."""
    path = Path(path)
    check_name(path)
    if path.suffix != ".mat":
        raise UserError(f"{path}: only a .mat file holds several sets; name one, or convert each set by itself")
    variables: dict[str, Any] = {}
    for split, features in sets.items():
        _check_clothes(features, path)
        variables |= _variables(features, SPLITS[split])
    _write_mat(variables, path)


def _check_clothes(features: FeatureSet, path: Path) -> None:
    """Refuse to lose what decides the metrics."""
    if features.has_clothes:
        raise UserError(
            f"{path}: only .npz keeps the clothes that these features' metrics ask for; name one, or extract them with "
            "PROTOCOL.CLOTHES any"
        )


def check_name(path: str | os.PathLike[str]) -> None:
    """Raise `UserError` unless a file's name is one of a feature file to write."""
    if Path(path).suffix not in SUFFIXES:
        raise UserError(f"{path}: a feature file's name ends in .npz, .parquet or .mat")


def _write_parquet(features: FeatureSet, path: Path) -> None:
    width = features.features.shape[1]
    flat = pa.array(np.ascontiguousarray(features.features).reshape(-1))
    columns = {
        "path": pa.array(map(to_utf8, features.paths.tolist()), pa.string()),
        "person_id": features.person_ids,
        "camera_id": features.camera_ids,
        "feature": pa.FixedSizeListArray.from_arrays(flat, width),
    }
    if features.has_times:
        columns["time"] = pa.array([time or None for time in features.times.tolist()], pa.string())
    texts = {_DIGEST: features.digest(), _MODEL: features.model, _NAMES: features.names.text()}
    table = pa.table(columns).replace_schema_metadata({key: text for key, text in texts.items() if text})
    save_with(path, lambda draft: pq.write_table(table, os.path.abspath(draft), write_page_checksum=True))


def _read_parquet(path: Path) -> FeatureSet:
    try:
        table = pq.read_table(os.path.abspath(path), page_checksum_verification=verifies())
        found = {name.decode(): text.decode() for name, text in (table.schema.metadata or {}).items()}
    except Exception as error:  # Arrow raises its own errors, and Python's for damage that it does not notice
        raise UserError(f"{path}: not a whole Parquet file ({' '.join(str(error).split())[:120]})") from None
    if absent := [name for name in ("person_id", "camera_id", "feature") if name not in table.column_names]:
        raise UserError(f"{path}: no column {', '.join(absent)}; {_REMEDY}")
    for name in ("path", "person_id", "camera_id", "feature"):
        if name in table.column_names and table[name].null_count:
            raise UserError(f"{path}: column {name} has empty entries; fill them in")
    column = table["feature"].combine_chunks()
    if not isinstance(column, _LISTS):
        raise UserError(f"{path}: column feature is {column.type}, not a list of numbers; {_REMEDY}")
    fixed = getattr(column.type, "list_size", 0)
    lengths = {fixed} if fixed else set(np.unique(column.value_lengths().to_numpy(zero_copy_only=False)).tolist())
    if not lengths:
        raise UserError(f"{path}: holds no images, and nothing says how wide their features are; write one row or more")
    if len(lengths) != 1:
        raise UserError(f"{path}: features have {len(lengths)} different widths; all must be equally wide")
    values = column.flatten()
    paths, times = (_texts_of(path, table, name) for name in ("path", "time"))
    paths = None if paths is None else list(map(from_utf8, paths))
    model, names, digest = (found.get(key.decode(), "") for key in (_MODEL, _NAMES, _DIGEST))
    return _assemble(
        path,
        values.to_numpy(zero_copy_only=False).reshape(len(table), lengths.pop()),
        table["person_id"].to_numpy(),
        table["camera_id"].to_numpy(),
        paths,
        times,
        model=model,
        names=names,
        digest=digest,
    )


def _texts_of(path: Path, table: pa.Table, name: str) -> list[str] | None:
    """A column of texts or of what can be written as text, as timestamps; None where the file has no such column."""
    if name not in table.column_names:
        return None
    column = table[name]
    moments = pa.types.is_timestamp(column.type)
    try:
        if not moments:
            return [text or "" for text in column.cast(pa.string()).to_pylist()]
        # Python's times have microseconds; data frames write nanoseconds.
        microseconds = pc.CastOptions(pa.timestamp("us", column.type.tz), allow_time_truncate=True)
        return [moment.isoformat() if moment else "" for moment in column.cast(options=microseconds).to_pylist()]
    except (pa.ArrowException, ValueError, OverflowError, KeyError):  # Arrow's and Python's, that of unknown time zones
        wanted = "but not all of years 1 to 9999 in a known time zone" if moments else "not texts"
        raise UserError(f"{path}: column {name} is {column.type}, {wanted}; {_REMEDY}") from None


def _variables(features: FeatureSet, prefix: str) -> dict[str, Any]:
    if features.features.nbytes > _LARGEST:
        raise UserError(f"features of {features.features.nbytes:,} bytes do not fit a .mat file; use .parquet or .npz")
    if odd := [path for path in features.paths.tolist() if "\0" in path]:
        raise UserError(f"path {odd[0]!r}: a .mat file holds no zero characters; rename it, or use .parquet or .npz")
    names = ("f", "label", "cam") if prefix else ("feature", "label", "cam")
    columns = (features.features, features.person_ids, features.camera_ids)
    found: dict[str, Any] = {prefix + name: column for name, column in zip(names, columns, strict=True)}
    found[f"{prefix}path"] = np.array([to_utf8(path) for path in features.paths.tolist()], object)
    if features.has_times:
        found[f"{prefix}time"] = features.times.astype(object)
    texts = {"sha256": features.digest(), "model": features.model, "names": features.names.text()}
    return found | {prefix + name: text for name, text in texts.items() if text}


def _write_mat(variables: Mapping[str, Any], path: Path) -> None:
    from scipy.io import savemat  # takes a quarter of a second to import: only where it is needed

    def write(draft: Path) -> None:
        with draft.open("wb") as file:
            savemat(file, dict(variables), oned_as="row")

    save_with(path, write)


def _read_mat(path: Path, split: str) -> FeatureSet:
    from scipy.io import loadmat

    try:
        content = loadmat(path)
    except NotImplementedError:  # what SciPy raises for files of MATLAB 7.3, and only for these
        raise UserError(f"{path}: saved as MATLAB 7.3 (HDF5); save it in MATLAB with the option -v7") from None
    except Exception as error:  # a foreign file makes scipy's reader fail in a dozen ways
        raise UserError(f"{path}: not a whole .mat file ({' '.join(str(error).split())[:120]})") from None
    there = [name for name, prefix in SPLITS.items() if f"{prefix}f" in content]
    if split and split not in there:
        raise UserError(
            f"{path}: --split {split}: has no such set ({SPLITS[split]}f); it has {', '.join(there) or 'no named sets'}"
        )
    if not split and "feature" not in content and there:
        raise UserError(
            f"{path}: holds the sets {', '.join(there)}; make a file of one with reid-dml convert --split {there[-1]}"
        )
    prefix, feature = (SPLITS[split], f"{SPLITS[split]}f") if split else ("", "feature")
    if absent := [name for name in (feature, f"{prefix}label") if name not in content]:
        raise UserError(f"{path}: has no variable {', '.join(absent)}; {_REMEDY}")
    values, labels = np.asarray(content[feature]), np.ravel(content[f"{prefix}label"])
    if values.ndim == 2 and len(values) != len(labels) == values.shape[1]:
        values = values.T  # an image a column
    cameras = np.ravel(content[f"{prefix}cam"]) if f"{prefix}cam" in content else np.full(len(labels), -1)
    paths, times = (_texts(content.get(prefix + name)) for name in ("path", "time"))
    model, names, digest = (_text(content.get(prefix + name, "")).strip() for name in ("model", "names", "sha256"))
    paths = None if paths is None else list(map(from_utf8, paths))
    return _assemble(path, values, labels, cameras, paths, times, model=model, names=names, digest=digest)


def _texts(cells: Any) -> list[str] | None:
    if cells is None:
        return None
    texts = [_text(cell) for cell in np.ravel(cells)]
    # A matrix of characters, as lists of texts become when Python writes them, pads its rows with blanks; cells do not.
    return [text.rstrip(" \0") for text in texts] if np.asarray(cells).dtype.kind == "U" else texts


def _text(cell: Any) -> str:
    return str(np.ravel(cell)[0]) if np.size(cell) else ""


def _assemble(
    path: Path,
    values: np.ndarray,
    persons: np.ndarray,
    cameras: np.ndarray,
    paths: list[str] | None,
    times: list[str] | None,
    *,
    model: str,
    names: str,
    digest: str,
) -> FeatureSet:
    """A feature set of a file's columns: floats as float32, whole numbers as int64, absent paths as rows.

    Args:
        path: the file, for messages.
        values, persons, cameras, paths, times: its columns.
        model: fingerprint of the networks; empty: unknown.
        names: those of ids, see `Names.text`.
        digest: of the set when it was written; empty: of somebody else's file, which is not checked.
    """
    if values.dtype.kind != "f":
        raise UserError(f"{path}: features must be floating-point numbers, got {values.dtype}; {_REMEDY}")
    try:
        persons, cameras = whole_ids("person ids", persons), whole_ids("camera ids", cameras)
    except ValueError as error:
        raise UserError(f"{path}: {error}; number them 1, 2, ...") from None
    rows = np.array(paths, np.str_) if paths is not None else row_names(len(values))
    with np.errstate(over="ignore"):  # what float32 cannot hold is found as infinite
        values = values.astype(np.float32)
    try:
        known = np.array(times if times is not None else "", np.str_)
        features = FeatureSet(values, persons, cameras, rows, model, known, Names.read(names))
    except ValueError as error:
        raise UserError(f"{path}: {error}; {_REMEDY}") from None
    if digest and verifies():
        remedy = f"make it anew; if you changed it yourself, remove the entry {_DIGEST.decode()} or sha256"
        check_digest(path, features.digest(), digest, remedy)
    return features
