"""A gallery to search: an index on disk, opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reid_dml.data.records import ImageRecord
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.names import Names
from reid_dml.features.validation import check_list, check_whole_number
from reid_dml.search.build import add_images, build_index, remove_images
from reid_dml.search.filters import ImageFilter
from reid_dml.search.index_folder import Contents, IndexFolder, IndexSpec
from reid_dml.search.index_types import fits_gpu, on_gpu, prepare, search, set_parameters
from reid_dml.search.interface import GoneError, Neighbours, check_query, given_ids
from reid_dml.search.sources import source_of
from reid_dml.text import from_utf8, to_utf8

_RESULTS = 1 << 22  # search results held at a time


class _Opened(NamedTuple):
    """An index as it is searched: replaced as a whole, so that other threads see the old one or the new one."""

    contents: Contents
    ids: np.ndarray  # of the images, rising
    gpu_index: faiss.Index | None


class Gallery:
    """Images that can be searched by their features: `Gallery.open("market.index").search(features, k=10)`.

    An opened gallery is the index as it was at that moment, whatever other processes do to it since; any number of them
    may read, one may change it. So may threads with one gallery: a search sees the images before a change or after it.

    Args:
        path: folder of the index.
        contents: what was read from it.
        parameters: of searches in place of the index's own.
        gpu: search on a GPU if FAISS sees one and supports this type of index there.
    """

    def __init__(
        self, path: str | os.PathLike[str], contents: Contents, *, parameters: str = "", gpu: bool = True
    ) -> None:
        self.path, self.parameters, self.gpu = path, parameters, gpu
        self._show(contents)

    def _show(self, contents: Contents) -> None:
        set_parameters(contents.index, self.parameters or contents.spec.parameters)
        gpu_index = on_gpu(contents.index) if self.gpu else None
        self._opened = _Opened(contents, contents.images["id"].to_numpy(), gpu_index)

    @property
    def spec(self) -> IndexSpec:
        """Type, metric, width and model of the index."""
        return self._opened.contents.spec

    @staticmethod
    def open(
        path: str | os.PathLike[str], *, parameters: str = "", mapped: bool | None = None, gpu: bool = True
    ) -> Gallery:
        """Open an index.

        Args:
            path: the folder that `build` or reid-dml index wrote.
            parameters: of searches in place of the index's own, e.g. `nprobe=64`: more care, more time.
            mapped: leave the vectors on disk; by default if they are larger than 1 GiB.
            gpu: search on a GPU if FAISS sees one and supports this type of index there.

        Raises:
            UserError: no such index, or a half-written, damaged or foreign one.
        """
        return Gallery(path, IndexFolder(path).read(mapped=mapped), parameters=parameters, gpu=gpu)

    @staticmethod
    def build(
        path: str | os.PathLike[str],
        features: FeatureSet | Sequence[str | os.PathLike[str]],
        *,
        factory: str = "Flat",
        metric: str = "cosine",
        parameters: str = "",
        overwrite: bool = False,
    ) -> Gallery:
        """Build an index and open it.

        Args:
            path: folder of the index.
            features: a feature set, or feature files (.npz, .parquet or .mat).
            factory, metric, parameters, overwrite: as for `search.build.build_index`; so are the errors.
        """
        build_index(
            path, source_of(features), factory=factory, metric=metric, parameters=parameters, overwrite=overwrite
        )
        return Gallery.open(path)

    def __len__(self) -> int:
        return len(self._opened.ids)

    @property
    def state(self) -> object:
        """Something that is another after every change of the gallery that is opened."""
        return self.spec.next_id, len(self)

    def watch(self, check: Callable[[IndexSpec], object]) -> None:
        """Check what the index is; see `AnyGallery.watch`."""
        check(self.spec)

    def search(
        self, query: FeatureSet | np.ndarray, k: int = 10, *, only: ImageFilter | np.ndarray | None = None
    ) -> Neighbours:
        """The k nearest images of every query.

        Args:
            query: features of the index's model; of a plain array (Q, D) float32 that is for you to know.
            k: at most the number of images.
            only: what may be found: a filter, or (n,) ids, rising. The search goes deeper until a query has its k
                images, or all that pass.

        Raises:
            FeatureError: features of another model or width, NaN, infinite or zero ones, or none.
            UserError: no images, or too large a k.
            ValueError: an array, or another argument, of another shape or type.
        """
        opened = self._opened  # once: another thread may replace it
        spec, count = opened.contents.spec, len(opened.ids)
        query, k = check_query(query, k, spec, count, where=str(self.path), some=only is not None)
        vectors = prepare(query, spec.metric, "query")
        if isinstance(only, ImageFilter):
            only = self._passing(opened, only)
        elif only is not None:
            only = given_ids("only", only)
        if only is None:
            return _nearest(opened, vectors, k)
        return _nearest_among(opened, vectors, k, only)

    def passing(self, only: ImageFilter) -> np.ndarray:
        """(n,) ids of the images that pass a filter, rising. Raises `UserError` if there are none, saying why."""
        return self._passing(self._opened, only)

    def _passing(self, opened: _Opened, only: ImageFilter) -> np.ndarray:
        return only.ids(opened.contents.images, str(self.path), opened.contents.names)

    def images(self, ids: Sequence[int] | np.ndarray) -> list[ImageRecord]:
        """Path, person, camera and time of the images of these ids.

        Raises `GoneError` for an id that is not there, as of an image removed since the search that found it, and
        `ValueError` for what are no ids.
        """
        opened = self._opened
        wanted = given_ids("ids", ids)
        rows = np.minimum(np.searchsorted(opened.ids, wanted), len(opened.ids) - 1)
        if not len(opened.ids) or (opened.ids[rows] != wanted).any():
            raise GoneError(f"{self.path}: there are ids that no image of the gallery has; search again")
        found = opened.contents.images.take(rows)
        columns = (found[name].to_pylist() for name in ("path", "person_id", "camera_id", "time"))
        persons, cameras = opened.contents.names.persons, opened.contents.names.cameras
        return [
            ImageRecord(
                from_utf8(path), person, camera, None, time or "", persons.get(person, ""), cameras.get(camera, "")
            )
            for path, person, camera, time in zip(*columns, strict=True)
        ]

    @property
    def names(self) -> Names:
        """What its persons and cameras are called."""
        return self._opened.contents.names

    @property
    def table(self) -> pa.Table:
        """All images as a table: id, path, person_id, camera_id and time."""
        return self._opened.contents.images

    def find(self, paths: Sequence[str]) -> dict[str, int]:
        """The ids of the images of these paths; a path that no image has is left out."""
        check_list("paths", paths, str)
        images = self._opened.contents.images
        rows = {path: pc.index(images["path"], to_utf8(path)).as_py() for path in paths}
        return {path: images["id"][row].as_py() for path, row in rows.items() if row >= 0}

    def called(self, names: Sequence[str]) -> dict[str, int]:
        """The paths and ids of the images whose files have these names, in whatever folder; slower than `find`."""
        check_list("names", names, str)
        images = self._opened.contents.images
        files = pc.replace_substring_regex(images["path"], "(?s)^.*/", "")
        found = images.filter(pc.is_in(files, pa.array([to_utf8(name) for name in names], pa.string())))
        return {from_utf8(row["path"]): row["id"] for row in found.select(["path", "id"]).to_pylist()}

    def cameras(self) -> list[int]:
        """Ids of the cameras whose images it holds, rising; -1: unknown."""
        return np.unique(self.table["camera_id"].to_numpy()).tolist()

    def some(self, count: int) -> list[int]:
        """Ids of at most so many images, spread over all."""
        check_whole_number("count", count, least=0)
        ids = self._opened.ids
        return ids[np.unique(np.linspace(0, len(ids) - 1, min(count, len(ids))).astype(int))].tolist()

    def has_times(self) -> bool:
        """Whether the time of any image is known."""
        table = self.table
        return table["time"].null_count < len(table)

    def add(self, features: FeatureSet | Sequence[str | os.PathLike[str]]) -> int:
        """Add a feature set, or feature files, here and on disk; see `search.build.add_images`."""
        added = add_images(self.path, source_of(features))
        self._show(IndexFolder(self.path).read())
        return added

    def remove(self, names: Sequence[str]) -> int:
        """Remove images by path or pattern, here and on disk; see `search.build.remove_images`."""
        removed = remove_images(self.path, names)
        self._show(IndexFolder(self.path).read())
        return removed


def _nearest(opened: _Opened, vectors: np.ndarray, k: int) -> Neighbours:
    on_device = opened.gpu_index if fits_gpu(k) else None
    scores, ids = search(on_device or opened.contents.index, vectors, k)
    if opened.contents.spec.metric == "euclidean":
        scores = np.sqrt(np.maximum(scores, 0))  # FAISS gives squares
    return Neighbours(ids, np.where(ids < 0, np.float32(np.nan), scores))


def _nearest_among(opened: _Opened, vectors: np.ndarray, k: int, only: np.ndarray) -> Neighbours:
    """The k nearest of some images for every query: the search goes deeper until there are enough."""
    count, enough = len(opened.ids), min(k, len(only))
    found = Neighbours(np.full((len(vectors), k), -1), np.full((len(vectors), k), np.nan, np.float32))
    waiting, depth = np.arange(len(vectors)), min(count, 2 * enough * count // max(len(only), 1))
    while len(waiting) and enough:
        short, at_once = [], max(1, _RESULTS // depth)
        for start in range(0, len(waiting), at_once):
            rows = waiting[start : start + at_once]
            for row, ids, scores in zip(rows, *_nearest(opened, vectors[rows], depth), strict=True):
                places = np.flatnonzero(np.isin(ids, only))[:enough]
                found.ids[row, : len(places)], found.scores[row, : len(places)] = ids[places], scores[places]
                if len(places) < enough and depth < count and ids[-1] >= 0:
                    short.append(row)
        waiting, depth = np.array(short, np.int64), min(count, 4 * depth)
    return found
