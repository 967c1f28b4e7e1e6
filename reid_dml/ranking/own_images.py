"""Gallery images that are the query itself: found first, they would make a rank-1 of 100 % out of noise."""

from __future__ import annotations

import os
import warnings

import numpy as np

from reid_dml.data.records import UNKNOWN_CAMERA
from reid_dml.features.feature_set import FeatureSet, check_feature_sets, is_row_name
from reid_dml.ranking.protocol import in_own_camera

_CHUNK = 1 << 14  # pairs compared at a time
_FEW = 4  # entries that tell most pairs apart
_ROUNDING = 1e-3  # of a feature's largest entry: one image in two batches differs by less


def own_images(query: FeatureSet, gallery: FeatureSet) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a query and the gallery image that is itself: of one path, with one feature.

    A path alone would not do: files of features name images relative to different folders. Still less does the number
    of a row, which stands for the path where a file has none: rows of two known, different cameras are two images.

    Returns:
        (n,) int64 query rows and (n,) int64 gallery rows.

    Raises:
        ValueError: something else than feature sets.
    """
    check_feature_sets(query=query, gallery=gallery)
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
    return with_equal_features(query, gallery, places[~apart], rows[~apart], _ROUNDING)


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
    query: FeatureSet, gallery: FeatureSet, places: np.ndarray, rows: np.ndarray, rounding: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Of some pairs of a query and a gallery image those with the same feature.

    Args:
        query, gallery: the two sides.
        places: (n,) int64 query rows.
        rows: (n,) int64 gallery rows.
        rounding: share of a feature's largest entry by which others may differ; 0: the same bit for bit.
    """
    if not len(places) or query.features.shape[1] != gallery.features.shape[1]:
        return places[:0], rows[:0]
    largest = np.abs(query.features).max(axis=1) if rounding else np.empty(0)
    for width in (_FEW, query.features.shape[1]):
        kept = [np.empty(0, bool)]
        for start in range(0, len(places), _CHUNK):
            part = slice(start, start + _CHUNK)
            left, right = query.features[places[part], :width], gallery.features[rows[part], :width]
            allowed = rounding * largest[places[part]] if rounding else 0
            differences = np.abs(left - right).max(axis=1, initial=0)
            kept.append(differences <= allowed)
        mask = np.concatenate(kept)
        places, rows = places[mask], rows[mask]
    return places, rows
