"""Multi-query: one feature from all images of a query's person in the query's camera."""

from __future__ import annotations

import warnings

import numpy as np

from reid_dml.data.records import DISTRACTOR, UNKNOWN_CAMERA
from reid_dml.features.feature_set import FeatureSet, check_feature_sets
from reid_dml.features.validation import check_widths


def pool_multi_query(query: FeatureSet, boxes: FeatureSet, *, how: str = "mean") -> FeatureSet:
    """Replace every query's feature by the pooled features of the boxes of its person id and camera id.

    Zheng et al., "Scalable Person Re-identification", ICCV 2015, Sec. 5. Features are pooled as given (normalise them
    first, as extraction does); gallery and junk rules stay as for single queries. Images without a label, junk and
    distractors are not pooled: nobody knows whether two of them show one person.

    Args:
        query: the single queries.
        boxes: further images, Market's gt_bbox; they may include images of other persons.
        how: `mean` or `max`, entry by entry.

    Returns:
        A FeatureSet like `query`. A query without boxes, of unknown camera or of no known person keeps its own
        feature, with a warning that counts them.

    Raises:
        ValueError: unknown `how`, or something else than feature sets.
        FeatureError: different widths (it is a ValueError too).
    """
    if how not in ("mean", "max"):
        raise ValueError(f"how: {how!r} is not one of mean, max")
    check_feature_sets(query=query, boxes=boxes)
    check_widths("boxes", boxes.features.shape[1], "query", query.features.shape[1])
    rows: dict[tuple[int, int], list[int]] = {}
    for row, key in enumerate(zip(boxes.person_ids.tolist(), boxes.camera_ids.tolist(), strict=True)):
        if key[0] > DISTRACTOR and key[1] != UNKNOWN_CAMERA:
            rows.setdefault(key, []).append(row)
    pooled = query.features.copy()
    alone = 0
    for number, key in enumerate(zip(query.person_ids.tolist(), query.camera_ids.tolist(), strict=True)):
        if key in rows:
            own = boxes.features[rows[key]]
            pooled[number] = own.mean(axis=0, dtype=np.float64) if how == "mean" else own.max(axis=0)
        else:
            alone += 1
    if alone:
        warnings.warn(
            f"multi-query: {alone} of {len(query)} queries have no box of their person and camera and keep "
            "their single feature",
            stacklevel=2,
        )
    return query.with_features(pooled)
