"""What labels of features say about a score before it is computed: none there, other ones, or an image twice."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from reid_dml.data.records import DISTRACTOR
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.ranking.own_images import own_images, warn_of_own_images, with_equal_features
from reid_dml.ranking.protocol import is_labelled
from reid_dml.ranking.relevance import Relevance

_BLOCK = 512  # queries whose pairs are held at a time
LABEL = (
    "these are features without labels: extract them of a list with the column person_id (--images list.csv), of "
    "folders per person (--labels folder), or of images with names like 0002_c1s1_000451_03.jpg"
)


def check_labelled(where: str, features: FeatureSet) -> None:
    """Raise `UserError` if no image has a person, nor is a distractor; `where` is what the message calls them."""
    if len(features) and not is_labelled(features.person_ids).any():
        raise UserError(f"{where}: {LABEL}")


def check_scored(sets: Mapping[str, FeatureSet], names: Mapping[str, str], metric: str) -> None:
    """Refuse sets whose labels allow no score; say what else a user would take for a fault of the networks.

    Args:
        sets: by split, `query`, `gallery` and, for multi-query, `boxes`.
        names: what messages call them.
        metric: by which features are compared.

    Raises:
        UserError: a side without labels, names that do not fit each other, or boxes of other persons than the queries.
    """
    query, gallery = sets["query"], sets["gallery"]
    check_labelled(names["query"], query)
    check_labelled(names["gallery"], gallery)
    for split, other in sets.items():
        query.names.joined(other.names, names["query"], names[split])
    if zeros := int((query.person_ids == DISTRACTOR).sum()):
        warnings.warn(
            f"{names['query']}: {zeros:,} queries are of person 0, a distractor by Market's rule, and match nothing; "
            "number persons from 1",
            stacklevel=2,
        )
    if unlabelled := int((query.person_ids < DISTRACTOR).sum()):
        warnings.warn(
            f"{names['query']}: {unlabelled:,} of {len(query):,} queries have no person and match nothing", stacklevel=2
        )
    if "boxes" in sets and not np.isin(query.person_ids, sets["boxes"].person_ids).any():
        raise UserError(
            f"{names['boxes']}: multi-query: no image is of a person of {names['query']}; give further images of the "
            "query persons with the same ids"
        )
    warn_of_own_images(query, gallery, own_images(query, gallery, metric=metric), (names["query"], names["gallery"]))


def warn_of_copies(query: FeatureSet, gallery: FeatureSet, where: str, metric: str) -> None:
    """Say that true matches have bit for bit the query's feature: copies of one image, which are found first.

    Args:
        query, gallery: features of one network.
        where: what the message calls the gallery.
        metric: by which features are compared.
    """
    relevance = Relevance(query, gallery, own_images(query, gallery, metric=metric))
    found: list[tuple[int, int]] = []
    for start in range(0, len(query), _BLOCK):
        queries = np.arange(start, min(start + _BLOCK, len(query)))
        places, rows, matching = relevance.same_person_pairs(queries)
        found += zip(
            *(side.tolist() for side in with_equal_features(query, gallery, start + places[matching], rows[matching])),
            strict=True,
        )
    if found:
        count, (first, row) = len({number for number, _ in found}), found[0]
        warnings.warn(
            f"{where}: {count:,} of {len(query):,} queries find a match with bit for bit their own feature, first "
            f"{query.paths[first]} and {gallery.paths[row]}: copies of one image, or a network that sees no "
            "difference; remove copies from the gallery",
            stacklevel=4,
        )
