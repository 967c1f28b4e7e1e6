"""An index on disk: a folder whose manifest names the files that belong together.

    manifest.json            what the index is and which generation is current
    generation_3/index.faiss, generation_3/images.parquet (id, path, person_id, camera_id, time; metadata: names)
    building/                of an interrupted command, until it is run again
    .*.reid_dml*.tmp         of a killed one, until the next one

A change writes a whole new generation, waits until it is on the disk, and then replaces the manifest: one rename. Who
reads meanwhile sees the index as it was or as it is, never anything between; who is killed leaves it as it was.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reid_dml.digests import check_file, file_digest, seal_holds, sealed
from reid_dml.errors import UserError, absolute
from reid_dml.features.names import Names
from reid_dml.features.validation import METRICS
from reid_dml.files import is_draft, remove_drafts, remove_folder, sync, write_json
from reid_dml.locks import exclusive
from reid_dml.outputs import check_folder
from reid_dml.paths import given_path
from reid_dml.versions import __version__, versions

# A time is ISO 8601, or null where it is not known; indexes of earlier versions have no such column.
IMAGES = pa.schema(
    [
        *(("id", pa.int64()), ("path", pa.string()), ("person_id", pa.int64()), ("camera_id", pa.int64())),
        ("time", pa.string()),
    ]
)
_FORMAT, _VERSION = "reid_dml index", 1
BUILDING, PLAN = "building", "plan.json"  # the latter in the former
_INDEX, _IMAGES = "index.faiss", "images.parquet"
_NAMES = b"reid_dml.names"  # metadata of the latter, as in feature files; indexes of earlier versions have none
_MAPPED_BYTES = 1 << 30  # an index larger than this is mapped into memory, not read
_MAKE = "make one with reid-dml index"


@dataclass(frozen=True)
class IndexSpec:
    """What must be known of an index to add to it and to search it."""

    factory: str  # FAISS's description of the type
    metric: str  # cosine | euclidean
    dimension: int
    model: str  # fingerprint of the networks that made the features; empty: unknown
    parameters: str  # of a search, unless told otherwise
    next_id: int  # of the next image that is added


@dataclass(frozen=True)
class Contents:
    """A whole index: what it is, the vectors, a row for each image in rising order of the ids, and their names."""

    spec: IndexSpec
    index: faiss.Index
    images: pa.Table
    names: Names


class IndexFolder:
    """Reading and replacing the index in a folder."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = given_path(path, "the index")
        self.manifest = self.path / "manifest.json"
        self.building = self.path / BUILDING

    @contextmanager
    def lock(self, *, new: bool = True) -> Iterator[None]:
        """Keep other processes from changing this index; the folder is made if it may be `new`.

        Raises `UserError` if another process is at it, or if this is no place for an index.
        """
        if not new:
            self._read_manifest()
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path}: is a file; name a folder for the index")
        if self.path.is_dir() and not self.manifest.exists() and not all(map(_is_ours, self.path.iterdir())):
            raise UserError(f"{self.path}: holds other files than an index; name a new folder")
        check_folder(self.path, str(self.path))
        self.path.mkdir(parents=True, exist_ok=True)
        with exclusive(self.path / ".lock", f"{self.path}: another process is changing this index; wait for it"):
            self._remove_leftovers()
            yield

    def exists(self) -> bool:
        """Whether there is a whole index."""
        return self.manifest.is_file()

    def read(self, *, mapped: bool | None = None) -> Contents:
        """The current generation.

        Args:
            mapped: leave the vectors on disk, where the system reads what a search touches; by default if they are
                larger than 1 GiB. A mapped index cannot be changed.

        Raises:
            UserError: no index, a foreign, half-written or damaged one, or one of a newer version.
        """
        while True:
            manifest = self._read_manifest()
            try:
                return self._open(manifest, mapped)
            except FileNotFoundError as error:
                # A writer may have replaced it since the manifest was read.
                if self._read_manifest()["generation"] == manifest["generation"]:
                    raise UserError(
                        f"{absolute(error.filename)}: not found, though {self.manifest} names it; build the index anew"
                    ) from None

    def write(self, contents: Contents) -> None:
        """Replace the index, or make the first one; only under `lock`."""
        number = self._read_manifest()["generation"] + 1 if self.exists() else 1
        self._remove_generations(but=number - 1)
        folder = self.path / f"generation_{number}"
        folder.mkdir()
        write_index(contents.index, folder / _INDEX)
        names = contents.names.among(*(contents.images[side].to_numpy() for side in ("person_id", "camera_id")))
        metadata = {_NAMES: names.text()} if names else None
        pq.write_table(contents.images.replace_schema_metadata(metadata), os.path.abspath(folder / _IMAGES))
        files = (folder / _INDEX, folder / _IMAGES)
        for entry in (*files, folder, self.path):
            sync(entry)
        manifest = {
            "format": _FORMAT,
            "format_version": _VERSION,
            "generation": number,
            "count": len(contents.images),
            **asdict(contents.spec),
            "bytes": {file.name: file.stat().st_size for file in files},
            "digests": {file.name: file_digest(file) for file in files},
            "versions": {"reid_dml": __version__, **versions()},
        }
        write_json(self.manifest, sealed(manifest))
        self._remove_generations(but=number)

    def _open(self, manifest: dict[str, Any], mapped: bool | None) -> Contents:
        folder = self.path / f"generation_{manifest['generation']}"
        for name, size in manifest["bytes"].items():
            if (found := (folder / name).stat().st_size) != size:
                raise UserError(
                    f"{folder / name}: has {found:,} bytes, not the {size:,} it was written with; copy the index "
                    "again or build it anew"
                )
        for name, digest in manifest.get("digests", {}).items():  # none: of an earlier version
            check_file(folder / name, digest, "copy the index again or build it anew")
        if mapped is None:
            mapped = manifest["bytes"][_INDEX] > _MAPPED_BYTES
        index = read_index(folder / _INDEX, mapped=mapped)
        try:
            images = pq.read_table(os.path.abspath(folder / _IMAGES))  # a colon would make a URI of it
            names = Names.read((images.schema.metadata or {}).get(_NAMES, b"").decode())
            if "time" not in images.column_names:
                images = images.append_column(IMAGES.field("time"), pa.nulls(len(images), pa.string()))
            _check_images(images)
        except Exception as error:  # Arrow raises its own errors, and Python's for damage that it does not notice
            if isinstance(error, FileNotFoundError):
                raise FileNotFoundError(errno.ENOENT, "", str(folder / _IMAGES)) from None
            raise UserError(f"{folder / _IMAGES}: damaged ({error}); build the index anew") from None
        spec = IndexSpec(**{field.name: manifest[field.name] for field in fields(IndexSpec)})
        if not (index.ntotal == len(images) == manifest["count"] and index.d == spec.dimension):
            raise UserError(
                f"{folder}: {index.ntotal:,} vectors of {index.d} dimensions and {len(images):,} images do not belong "
                f"to {self.manifest}; build the index anew"
            )
        return Contents(spec, index, images.replace_schema_metadata(None), names)

    def _read_manifest(self) -> dict[str, Any]:
        if not self.manifest.is_file():
            if self.path.is_file():
                raise UserError(f"{self.path}: is a file, not the folder of an index; {_MAKE}")
            if self.building.is_dir():
                raise UserError(f"{self.path}: its building has not ended; run reid-dml index again to end it")
            what = "is not an index (no manifest.json)" if self.path.is_dir() else "no such index"
            raise UserError(f"{absolute(self.path)}: {what}; {_MAKE}")
        try:
            manifest = json.loads(self.manifest.read_bytes())
            ours = manifest["format"] == _FORMAT
            newer = ours and manifest["format_version"] > _VERSION
            if ours and not newer:
                ours = _is_whole(manifest) and seal_holds(manifest)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            ours = newer = False
        if newer:
            raise UserError(f"{self.manifest}: written by a newer version of reid_dml; update reid_dml")
        if not ours:
            raise UserError(
                f"{self.manifest}: damaged, or not of an index of reid-dml index; remove the folder and build it anew"
            )
        return manifest

    def _remove_generations(self, *, but: int) -> None:
        for entry in self.path.iterdir():
            if _is_generation(entry) and entry.name != f"generation_{but}":
                remove_folder(entry)

    def generation(self) -> int:
        """Number of the current generation; 0 where there is none."""
        return self._read_manifest()["generation"] if self.exists() else 0

    def _remove_leftovers(self) -> None:
        """What killed commands left: unfinished files, and the work of a build whose index is there."""
        remove_drafts(self.path)
        if self.building.is_dir():
            remove_drafts(self.building)
            try:
                plan = json.loads((self.building / PLAN).read_bytes())
                ended = plan["generation"] < self.generation()
            except (OSError, ValueError, KeyError, TypeError, UserError):
                return  # whoever builds here decides
            if ended:
                remove_folder(self.building)


def write_index(index: faiss.Index, path: Path) -> None:
    """Write an index alone to a file. Raises `UserError` if the disk does not take it."""
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        raise UserError(
            f"{path}: cannot be written ({' '.join(str(error).split())[-160:]}); is the disk full?"
        ) from None


def read_index(path: Path, *, mapped: bool = False) -> faiss.Index:
    """Read an index alone from a file. Raises `UserError` for anything else, FileNotFoundError for no file."""
    try:
        # Maps flat vectors, graphs and inverted files alike (FAISS >= 1.10).
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    except RuntimeError as error:
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, "", str(path)) from None
        raise UserError(
            f"{path}: not a whole FAISS index ({' '.join(str(error).split())[-120:]}); build the index anew"
        ) from None


def _is_whole(manifest: dict[str, Any]) -> bool:
    """Whether everything that is read of a manifest is there, each of its type."""
    kinds = {"generation": int, "count": int, **get_type_hints(IndexSpec)}
    files = {"bytes": int, "digests": str} if "digests" in manifest else {"bytes": int}  # none: of an earlier version
    return (
        all(_is_a(kind, manifest[name]) for name, kind in kinds.items())
        and manifest["metric"] in METRICS
        and all(manifest[name].keys() == {_INDEX, _IMAGES} for name in files)
        and all(_is_a(kind, value) for name, kind in files.items() for value in manifest[name].values())
    )


def _is_a(kind: type, value: object) -> bool:
    return type(value) is kind and not (isinstance(value, int) and not 0 <= value < 2**63)


def _check_images(images: pa.Table) -> None:
    """Raise `ValueError` unless a table of images is one that an index writes."""
    if not images.schema.equals(IMAGES):
        raise ValueError(f"not the columns {', '.join(IMAGES.names)}")
    if empty := [name for name in IMAGES.names if name != "time" and images[name].null_count]:
        raise ValueError(f"empty entries of {', '.join(empty)}")
    if not (np.diff(images["id"].to_numpy()) > 0).all():
        raise ValueError("ids that do not rise")


def _is_generation(entry: Path) -> bool:
    """Whether this folder holds files of an index alone, or begun ones."""
    if not (entry.is_dir() and re.fullmatch(r"generation_\d+", entry.name)):
        return False
    return all(file.name in (_INDEX, _IMAGES) or is_draft(file) for file in entry.iterdir())


def _is_ours(entry: Path) -> bool:
    """Whether a file or folder can be what is left of an index that was never finished."""
    if entry.name == BUILDING and entry.is_dir():
        return (entry / PLAN).is_file() or all(map(is_draft, entry.iterdir()))
    return entry.name == ".lock" or is_draft(entry) or _is_generation(entry)
