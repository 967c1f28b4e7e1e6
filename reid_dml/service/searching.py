"""Searches of concurrent requests: those among all images of a gallery take one pass over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from reid_dml.features.feature_set import FeatureSet
from reid_dml.ranking.ranked_list import RankedList, search_lists
from reid_dml.search.interface import AnyGallery


class Search(NamedTuple):
    """One query of a request.

    Attributes:
        gallery: in one state.
        query: of its model, one row.
        k: images.
        threshold: only images at least this similar, under Euclidean distance at most this far.
        only: what may be found, as `gallery.passing` made it; None: all images.
    """

    gallery: AnyGallery
    query: FeatureSet
    k: int
    threshold: float | None
    only: Any

    def alone(self) -> RankedList:
        """Its ranked list."""
        return search_lists(self.gallery, self.query, self.k, threshold=self.threshold, only=self.only)[0]


def search_together(searches: Sequence[Search]) -> list[RankedList]:
    """The ranked list of each; those that ask for as much of one gallery are a product with several queries.

    Such a product takes little longer than that with one query.
    """
    groups: dict[Any, list[int]] = {}
    for place, search in enumerate(searches):
        key = (id(search.gallery), search.k, search.threshold) if search.only is None else place
        groups.setdefault(key, []).append(place)
    found: dict[int, RankedList] = {}
    for places in groups.values():
        group = [searches[place] for place in places]
        if len(group) == 1:
            found[places[0]] = group[0].alone()
            continue
        first, rows = group[0], np.concatenate([search.query.features for search in group])
        queries = FeatureSet.of(rows, [search.query.records()[0] for search in group], first.query.model)
        lists = search_lists(first.gallery, queries, first.k, threshold=first.threshold)
        found |= dict(zip(places, lists, strict=True))
    return [found[place] for place in range(len(searches))]
