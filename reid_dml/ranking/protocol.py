"""The rules of the ranking protocol: what a gallery image is to a query. Pure functions of ids that broadcast.

A **true match** is an image of the query's person (an id of at least 1) under another camera, or under any if a camera
is unknown, and in other clothes where a data set asks for that. A **negative** is an image of any other id that is not
junk: of another person, a distractor (id 0), or unlabelled. All else is **left out**: junk (id -1), the query's own
person in its own camera or clothes, and images of equal id of which nobody knows whether they show one person (two
distractors, two unlabelled images). Only lists for people to look at show an unlabelled query all images but junk
(`ranking.ranked_rows`).

Arguments are int64 arrays of shapes that broadcast, such as (Q, 1) of the queries and (G,) of the gallery; results are
bool arrays of the common shape.
"""

from __future__ import annotations

import numpy as np

from reid_dml.data.records import DISTRACTOR, JUNK, UNKNOWN_CAMERA


def is_junk(persons: np.ndarray) -> np.ndarray:
    """Whether images are junk, which counts for nothing."""
    return persons == JUNK


def is_labelled(persons: np.ndarray) -> np.ndarray:
    """Whether images show a known person, or are distractors."""
    return persons >= DISTRACTOR


def in_own_camera(cameras: np.ndarray, gallery_cameras: np.ndarray) -> np.ndarray:
    """Whether two images come from one camera; an unknown camera is never the same."""
    return (cameras == gallery_cameras) & (cameras != UNKNOWN_CAMERA)


def in_own_clothes(clothes: np.ndarray, gallery_clothes: np.ndarray) -> np.ndarray:
    """Whether two images of a person show one outfit, by its number; 0, which is not asked for, is never the same."""
    return (clothes == gallery_clothes) & (clothes != 0)


def is_match(
    persons: np.ndarray,
    cameras: np.ndarray,
    gallery_persons: np.ndarray,
    gallery_cameras: np.ndarray,
    own_clothes: np.ndarray,
) -> np.ndarray:
    """Whether gallery images are true matches of the queries.

    Args:
        persons, cameras: int64 ids of the queries.
        gallery_persons, gallery_cameras: int64 ids of the gallery images; all four broadcast.
        own_clothes: of `in_own_clothes`.
    """
    elsewhere = ~(in_own_camera(cameras, gallery_cameras) | own_clothes)
    return (persons == gallery_persons) & (persons > DISTRACTOR) & elsewhere


def is_negative(persons: np.ndarray, gallery_persons: np.ndarray) -> np.ndarray:
    """Whether gallery images are wrong items in the queries' rankings."""
    return (persons != gallery_persons) & ~is_junk(gallery_persons)


def is_left_out(
    persons: np.ndarray,
    cameras: np.ndarray,
    gallery_persons: np.ndarray,
    gallery_cameras: np.ndarray,
    own_clothes: np.ndarray,
) -> np.ndarray:
    """Whether gallery images are no part of the queries' rankings.

    Args:
        persons, cameras: int64 ids of the queries.
        gallery_persons, gallery_cameras: int64 ids of the gallery images; all four broadcast.
        own_clothes: of `in_own_clothes`.
    """
    matching = is_match(persons, cameras, gallery_persons, gallery_cameras, own_clothes)
    return ~(matching | is_negative(persons, gallery_persons))
