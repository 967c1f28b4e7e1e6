"""Gallery images that are the query itself: found first, they would make a rank-1 of 100 % out of noise."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

import numpy as np

from reid_dml.data.records import UNKNOWN_CAMERA
from reid_dml.features.feature_set import FeatureSet, check_feature_sets, is_row_name, normalize
from reid_dml.features.validation import check_metric
from reid_dml.ranking.protocol import in_own_camera

_CHUNK = 1 << 20  # entries compared at a time
_FEW = 4  # entries that tell most pairs apart
_ROUNDING = 1e-3  # of a feature's largest entry: one image in two batches differs by less


def own_images(query: FeatureSet, gallery: FeatureSet, *, metric: str = "cosine") -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a query and the gallery image that is itself: of one path, with one feature.

    A path alone would not do: files of features name images relative to different folders. Still
    less does the number of a row, which stands for the path where a file has none: rows of two known, different cameras
    are two images.

    Args:
        query, gallery: the two sides.
        metric: by which features will be compared: under `cosine` their lengths do not matter here either.

    Returns:
        (n,) int64 query rows and (n,) int64 gallery rows.

    Raises:
        ValueError: something else than feature sets, or an unknown metric.
    """
    check_feature_sets(query=query, gallery=gallery)
    check_metric(metric)
    queries: dict[str, list[int]] = {}
    for number, path in enumerate(query.paths.tolist()):
        if path:
            queries.setdefault(os.path.abspath(path), []).append(number)
    names = {path.rsplit("/", 1)[-1] for path in queries}  # most are told apart by it, in a fraction of the time
    pairs = [
        (number, row)
        for row, path in enumerate(gallery.paths.tolist())
        if path.rsplit("/", 1)[-1] in names
        for number in queries.get(os.path.abspath(path), ())
    ]
    places, rows = np.array(pairs, np.int64).reshape(-1, 2).T
    cameras = query.camera_ids[places], gallery.camera_ids[rows]
    apart = (cameras[0] != cameras[1]) & (np.minimum(*cameras) != UNKNOWN_CAMERA)
    apart &= np.array([is_row_name(path) for path in query.paths[places].tolist()], bool)
    scaled = normalize if metric == "cosine" else np.asarray

    def equal(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        left, right = scaled(left), scaled(right)
        return np.abs(left - right).max(axis=1) <= _ROUNDING * np.abs(left).max(axis=1)

    return _pairs_that(equal, query, gallery, places[~apart], rows[~apart])


def warn_of_own_images(
    query: FeatureSet,
    gallery: FeatureSet,
    own: tuple[np.ndarray, np.ndarray],
    names: tuple[str, str] = ("query", "gallery"),
    *,
    stacklevel: int = 2,
) -> None:
    """Say how many queries are in the gallery too, where their cameras would not leave them out anyhow.

    Args:
        query, gallery: the two sides.
        own: of `own_images`.
        names: what the message calls the sides, such as their files.
        stacklevel: of the warning, seen from the caller.
    """
    places, rows = own
    seen = ~in_own_camera(query.camera_ids[places], gallery.camera_ids[rows])
    if seen.any():
        first, count = places[seen][0], len(np.unique(places[seen]))
        warnings.warn(
            f"{names[0]}: {count:,} of {len(query):,} queries are in {names[1]} too, first {query.paths[first]}; a "
            "query's own image is left out of its ranking",
            stacklevel=stacklevel + 1,
        )


def with_equal_features(
    query: FeatureSet, gallery: FeatureSet, places: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of some pairs of a query and a gallery image those with the same feature, bit for bit.

    Args:
        query, gallery: the two sides.
        places: (n,) int64 query rows.
        rows: (n,) int64 gallery rows.
    """

    def equal(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return (left == right).all(axis=1)

    for width in (_FEW, None):
        places, rows = _pairs_that(equal, query, gallery, places, rows, width)
    return places, rows


def _pairs_that(
    equal: Callable[[np.ndarray, np.ndarray], np.ndarray],
    query: FeatureSet,
    gallery: FeatureSet,
    places: np.ndarray,
    rows: np.ndarray,
    width: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs whose features, or their first `width` entries, are equal; none where there are two widths."""
    if query.features.shape[1] != gallery.features.shape[1]:
        return places[:0], rows[:0]
    kept, step = [np.empty(0, bool)], max(1, _CHUNK // (width or query.features.shape[1]))
    for start in range(0, len(places), step):
        part = slice(start, start + step)
        kept.append(equal(query.features[places[part], :width], gallery.features[rows[part], :width]))
    mask = np.concatenate(kept)
    return places[mask], rows[mask]
