"""What every gallery can do, whichever engine searches it: FAISS in an index folder, PostgreSQL in a database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from reid_dml.data.records import UNKNOWN_CAMERA, UNKNOWN_PERSON, ImageRecord
from reid_dml.errors import UnavailableError, UserError
from reid_dml.features.feature_set import FeatureSet, row_names
from reid_dml.features.names import Names
from reid_dml.features.validation import as_numbers, check_models, check_not_empty, check_whole_number, check_widths
from reid_dml.search.filters import ImageFilter

if TYPE_CHECKING:
    import os

    from reid_dml.search.index_folder import IndexSpec


class Neighbours(NamedTuple):
    """The images nearest to each query, nearest first.

    ids (Q, k) int64: of the images, -1 where fewer were found; scores (Q, k) float32: cosine similarity (falling) or
    Euclidean distance (rising), NaN where there is no image.
    """

    ids: np.ndarray
    scores: np.ndarray


class GoneError(UserError, ValueError):
    """Ids that no image of the gallery has, as of images removed since the search that found them."""


def replaced(error: UserError) -> UnavailableError:
    """What calls raise while another gallery than before is there, which cannot be served for this reason."""
    return UnavailableError(f"the gallery was replaced by one that cannot be served: {error}")


class AnyGallery(Protocol):
    """A gallery to search and to change, opened with `search.open_gallery`."""

    path: str | os.PathLike[str]  # what messages call it

    @property
    def spec(self) -> IndexSpec:
        """Type, metric, width and model."""

    @property
    def names(self) -> Names:
        """What its persons and cameras are called."""

    @property
    def table(self) -> pa.Table:
        """All images as a table: id, path, person_id, camera_id and time."""

    def __len__(self) -> int:
        """How many images there are."""

    @property
    def state(self) -> object:
        """Something that is another after every change."""

    def watch(self, check: Callable[[IndexSpec], object]) -> None:
        """Have a check called with what the gallery is, now, and in a database whenever it is another.

        The gallery is served no further while the check raises `UserError`: then every call raises `UnavailableError`.
        """

    def find(self, paths: Sequence[str]) -> dict[str, int]:
        """The ids of the images of these paths; a path that no image has is left out."""

    def called(self, names: Sequence[str]) -> dict[str, int]:
        """The paths and ids of the images whose files have these names, in whatever folder; slower than `find`."""

    def cameras(self) -> list[int]:
        """Ids of the cameras whose images it holds, rising; -1: unknown."""

    def some(self, count: int) -> list[int]:
        """Ids of at most so many images, spread over all."""

    def has_times(self) -> bool:
        """Whether the time of any image is known."""

    def passing(self, only: ImageFilter) -> Any:
        """The images that pass a filter, for `search`. Raises `UserError` if there are none, saying why."""

    def search(self, query: FeatureSet | np.ndarray, k: int = 10, *, only: Any = None) -> Neighbours:
        """The k nearest images of every query.

        Args:
            query: features of the gallery's model; of a plain array (Q, D) float32 that is for you to know.
            k: at most the number of images.
            only: what may be found: an `ImageFilter`, what `passing` made of one, or (n,) ids, rising.
        """

    def images(self, ids: Sequence[int] | np.ndarray) -> list[ImageRecord]:
        """Path, person, camera and time of the images of these ids. Raises `GoneError` for one that is not there."""

    def add(self, features: FeatureSet | Sequence[str | os.PathLike[str]]) -> int:
        """Add a feature set, or feature files; returns how many images."""

    def remove(self, names: Sequence[str]) -> int:
        """Remove images by path or pattern; returns how many."""


def check_query(
    query: FeatureSet | np.ndarray, k: int, spec: IndexSpec, count: int, *, where: str, some: bool
) -> tuple[FeatureSet, int]:
    """The query as a feature set, and how many images to find, checked.

    Args:
        query, k: of a search.
        spec: of the gallery.
        count: of its images.
        where: what messages call it.
        some: only some of the images may be found: k may be larger than there are images.

    Raises:
        ValueError: k is no whole number, or features are no array (Q, D) float32.
        FeatureError: features of another model or width, or none.
        UserError: no images, or too large a k.
    """
    check_whole_number("k", k, least=None)
    if not isinstance(query, FeatureSet):
        query = _unlabelled(query, spec.model)
    check_not_empty("query", len(query))
    if not count:
        raise UserError(f"{where}: holds no images; add some first")
    check_widths("query", query.features.shape[1], where, spec.dimension)
    check_models("query", query.model, where, spec.model, for_index=True)
    if not 0 < k <= count and not (some and k > 0):
        raise UserError(f"{k} neighbours were asked for, {where} holds {count} images; ask for 1 to {count}")
    return query, min(k, count)


def given_ids(where: str, ids: object) -> np.ndarray:
    """Ids of images that a caller gave, (n,) int64. Raises `ValueError`, naming the argument, for anything else."""
    return as_numbers(where, ids, "(n,)", "iu").astype(np.int64)


def _unlabelled(query: np.ndarray, model: str) -> FeatureSet:
    query = as_numbers("query", query, "(Q, D)")
    count = len(query)
    return FeatureSet(
        query,
        np.full(count, UNKNOWN_PERSON),
        np.full(count, UNKNOWN_CAMERA),
        row_names(count),
        model,
    )
