"""What counts in a ranking: the rules of the protocol, case by case."""

from __future__ import annotations

import numpy as np
import pytest

from reid_dml.ranking.protocol import in_own_clothes, is_left_out, is_match, is_negative

MATCH, NEGATIVE, LEFT_OUT = "match", "negative", "left out"


@pytest.mark.parametrize(
    ("query", "gallery", "expected"),
    [
        ((3, 1), (3, 2), MATCH),
        ((3, 1, 7), (3, 2, 8), MATCH),
        ((3, 1, 7), (3, 2, 7), LEFT_OUT),  # the own clothes
        ((3, 1, 0), (3, 2, 0), MATCH),  # which are not asked for
        ((3, 1, 7), (4, 2, 7), NEGATIVE),  # outfits are numbered by person
        ((3, 1), (3, 1), LEFT_OUT),  # the own camera
        ((3, -1), (3, 1), MATCH),  # an unknown camera hides nothing
        ((3, 1), (3, -1), MATCH),
        ((3, -1), (3, -1), MATCH),
        ((3, 1), (4, 1), NEGATIVE),
        ((3, 1), (0, 1), NEGATIVE),  # a distractor
        ((3, 1), (-2, 1), NEGATIVE),  # unlabelled
        ((3, 1), (-1, 2), LEFT_OUT),  # junk
        ((0, 1), (0, 2), LEFT_OUT),  # nobody knows whether two distractors are one person
        ((-2, 1), (-2, 2), LEFT_OUT),
        ((0, 1), (3, 1), NEGATIVE),
    ],
)
def test_what_an_image_is_to_a_query(query, gallery, expected):
    persons, cameras, clothes = (np.array([[value]]) for value in (*query, 0)[:3])
    gallery_persons, gallery_cameras, gallery_clothes = (np.array([value]) for value in (*gallery, 0)[:3])
    sides = persons, cameras, gallery_persons, gallery_cameras, in_own_clothes(clothes, gallery_clothes)
    found = {
        MATCH: is_match(*sides),
        NEGATIVE: is_negative(persons, gallery_persons),
        LEFT_OUT: is_left_out(*sides),
    }
    assert {name: mask.tolist() for name, mask in found.items()} == {
        name: [[name == expected]] for name in (MATCH, NEGATIVE, LEFT_OUT)
    }
