"""A gallery to search: an index on disk, opened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import faiss
import numpy as np
import pyarrow as pa

from reid_dml.data.records import UNKNOWN_CAMERA, UNKNOWN_PERSON, ImageRecord
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet, row_names
from reid_dml.features.names import Names
from reid_dml.features.validation import check_models, check_not_empty, check_widths
from reid_dml.search.build import add_images, build_index, remove_images
from reid_dml.search.index_folder import Contents, IndexFolder, IndexSpec
from reid_dml.search.index_types import fits_gpu, on_gpu, prepare, search, set_parameters
from reid_dml.search.sources import FeatureFiles, FeatureSets
from reid_dml.text import from_utf8


class Neighbours(NamedTuple):
    """The images nearest to each query, nearest first.

    ids (Q, k) int64: of the images, -1 where an approximate index found fewer; scores (Q, k) float32: cosine
    similarity (falling) or Euclidean distance (rising), NaN where there is no image.
    """

    ids: np.ndarray
    scores: np.ndarray


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
        source = FeatureSets([features]) if isinstance(features, FeatureSet) else FeatureFiles(features)
        build_index(path, source, factory=factory, metric=metric, parameters=parameters, overwrite=overwrite)
        return Gallery.open(path)

    def __len__(self) -> int:
        return len(self._opened.ids)

    def search(self, query: FeatureSet | np.ndarray, k: int = 10) -> Neighbours:
        """The k nearest images of every query.

        Args:
            query: features of the index's model; of a plain array (Q, D) float32 that is for you to know.
            k: at most the number of images.

        Raises:
            FeatureError: features of another model or width, NaN, infinite or zero ones, or none.
            UserError: no images, or too large a k.
            ValueError: an array of another shape or type.
        """
        opened = self._opened  # once: another thread may replace it
        spec, count = opened.contents.spec, len(opened.ids)
        if not isinstance(query, FeatureSet):
            query = _unlabelled(query, spec.model)
        check_not_empty("query", len(query))
        if not count:
            raise UserError(f"{self.path}: holds no images; add some first")
        check_widths("query", query.features.shape[1], str(self.path), spec.dimension)
        check_models("query", query.model, str(self.path), spec.model, for_index=True)
        if not 0 < k <= count:
            raise UserError(f"{k} neighbours were asked for, {self.path} holds {count} images; ask for 1 to {count}")
        on_device = opened.gpu_index if fits_gpu(k) else None
        index = on_device or opened.contents.index
        scores, ids = search(index, prepare(query, spec.metric, "query"), k)
        if spec.metric == "euclidean":
            scores = np.sqrt(np.maximum(scores, 0))  # FAISS gives squares
        return Neighbours(ids, np.where(ids < 0, np.float32(np.nan), scores))

    def images(self, ids: Sequence[int] | np.ndarray) -> list[ImageRecord]:
        """Path, person, camera and time of the images of these ids.

        Raises `ValueError` for an id that is not there, as of an image removed since the search that found it.
        """
        opened = self._opened
        wanted = np.asarray(ids, np.int64)
        rows = np.minimum(np.searchsorted(opened.ids, wanted), len(opened.ids) - 1)
        if not len(opened.ids) or (opened.ids[rows] != wanted).any():
            raise ValueError("there are ids that no image of the gallery has")
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

    def add(self, features: FeatureSet | Sequence[str | os.PathLike[str]]) -> int:
        """Add a feature set, or feature files, here and on disk; see `search.build.add_images`."""
        added = add_images(
            self.path, FeatureSets([features]) if isinstance(features, FeatureSet) else FeatureFiles(features)
        )
        self._show(IndexFolder(self.path).read())
        return added

    def remove(self, names: Sequence[str]) -> int:
        """Remove images by path or pattern, here and on disk; see `search.build.remove_images`."""
        removed = remove_images(self.path, names)
        self._show(IndexFolder(self.path).read())
        return removed


def _unlabelled(query: np.ndarray, model: str) -> FeatureSet:
    count = len(np.atleast_1d(query))
    return FeatureSet(
        query,
        np.full(count, UNKNOWN_PERSON),
        np.full(count, UNKNOWN_CAMERA),
        row_names(count),
        model,
    )
