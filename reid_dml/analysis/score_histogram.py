"""How similar images of one person are, and those of different persons: histograms of a data set's pairs."""

from __future__ import annotations

import numpy as np

from reid_dml.analysis.curves import Curve
from reid_dml.data.records import evenly_spread
from reid_dml.features.feature_set import FeatureSet, normalize
from reid_dml.ranking.own_images import own_images
from reid_dml.ranking.protocol import in_own_clothes, is_match, is_negative

_QUERIES = 400  # whose pairs are counted, at most: spread evenly over all
_BINS = 60


def similarity_histogram(query: FeatureSet, gallery: FeatureSet) -> dict[str, Curve]:
    """Share of the pairs of one person, and of different persons, by cosine similarity: the middles of the bins and the
    shares, of each kind of pair that there is.

    Pairs are those of a query and a gallery image, not itself, that count in its ranking.
    """
    chosen, vectors = query.select(evenly_spread(len(query), _QUERIES)), normalize(gallery.features)
    persons, cameras = chosen.person_ids[:, None], chosen.camera_ids[:, None]
    clothes = in_own_clothes(chosen.clothes[:, None], gallery.clothes)
    scores = normalize(chosen.features) @ vectors.T
    same = is_match(persons, cameras, gallery.person_ids, gallery.camera_ids, clothes)
    same[own_images(chosen, gallery, metric="cosine")] = False
    kinds = {
        "same person": scores[same],
        "different persons": scores[is_negative(persons, gallery.person_ids)],
    }
    kinds = {label: values for label, values in kinds.items() if len(values)}
    low = min((float(values.min()) for values in kinds.values()), default=0.0)
    edges = np.linspace(low, 1, _BINS + 1) if low < 1 else np.linspace(0, 1, _BINS + 1)
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    return {
        label: (middles, (np.histogram(np.clip(values, low, 1), edges)[0] / len(values)).tolist())
        for label, values in kinds.items()
    }
