"""What a gallery must be able to do to be served, wherever its vectors are kept: `Gallery` does it with FAISS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from reid_dml.data.records import ImageRecord
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.names import Names
from reid_dml.search.gallery import Neighbours
from reid_dml.search.index_folder import IndexSpec


class Unavailable(UserError):
    """The gallery cannot be asked now, as while a database starts; later it can."""


class Engine(Protocol):
    """An opened gallery. What its methods take, return and raise is written at those of `search.gallery.Gallery`.

    A gallery that cannot be reached raises `Unavailable`.
    """

    @property
    def path(self) -> object:
        """What messages call it."""

    @property
    def spec(self) -> IndexSpec:
        """Type, metric, width and model."""

    @property
    def names(self) -> Names:
        """What its persons and cameras are called."""

    @property
    def table(self) -> pa.Table:
        """All images: id, path, person_id, camera_id and time."""

    def __len__(self) -> int:
        """How many images there are."""

    def search(self, query: FeatureSet | np.ndarray, k: int = 10) -> Neighbours:
        """The k nearest images of every query."""

    def images(self, ids: Sequence[int] | np.ndarray) -> list[ImageRecord]:
        """Path, person, camera and time of images."""

    def add(self, features: FeatureSet) -> int:
        """Add images; when it returns they are there for good, all of them."""

    def remove(self, names: Sequence[str]) -> int:
        """Remove images by path; when it returns they are gone."""
