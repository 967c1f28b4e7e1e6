"""The counts of `counting.count_ahead` from a FAISS index, searched only as deep as the true matches lie."""

from __future__ import annotations

import numpy as np

from reid_dml.features.feature_set import normalize
from reid_dml.ranking.counting import NegativeCounter, NegativesAhead
from reid_dml.ranking.relevance import Relevance
from reid_dml.ranking.scores import Scorer
from reid_dml.search.index_types import (
    add_vectors,
    default_parameters,
    make_index,
    search,
    set_parameters,
    train_index,
)

_FIRST_DEPTH = 256
_RESULTS = 1 << 24  # search results held at a time


def search_ahead(
    scorer: Scorer, relevance: Relevance, metric: str, *, factory: str = "Flat", parameters: str = ""
) -> NegativesAhead:
    """Count the negatives ahead of every query's matches.

    With an approximate index, matches that its search never returns get n = inf: they count as not found.

    Args:
        scorer: the checked features.
        relevance: what the gallery images are to each query.
        metric: `cosine` or `euclidean`.
        factory: type of the index, see `index_types.make_index`; `Flat` is exact.
        parameters: of the search, such as `nprobe=32`; empty: `index_types.default_parameters`.

    Raises:
        UserError: a type or parameters that FAISS does not know, or too few images to train the index.
    """
    vectors = np.ascontiguousarray(normalize(scorer.gallery) if metric == "cosine" else scorer.gallery)
    queries = np.ascontiguousarray(scorer.query)
    index = make_index(factory, vectors.shape[1], metric)
    train_index(index, factory, vectors)
    set_parameters(index, parameters or default_parameters(index))
    add_vectors(index, vectors, np.arange(len(vectors)), factory)
    counts = [np.empty(0)] * len(relevance)
    matches = [relevance.matches(query) for query in range(len(relevance))]
    waiting = np.array([query for query, rows in enumerate(matches) if len(rows)], np.int64)
    depth = min(len(vectors), _FIRST_DEPTH)
    while len(waiting):
        deeper = []
        at_once = max(1, _RESULTS // depth)
        for start in range(0, len(waiting), at_once):
            part = waiting[start : start + at_once]
            scores, rows = search(index, queries[part], depth)
            if metric == "euclidean":
                scores = -scores
            for query, values, found in zip(part, scores, rows, strict=True):
                counts[query] = _count(query, values, found, matches[query], relevance)
                whole = np.isfinite(counts[query]).all() and _ends_behind(values, found, matches[query])
                if not whole and depth < len(vectors) and found[-1] >= 0:
                    deeper.append(query)
        waiting, depth = np.array(deeper, np.int64), min(len(vectors), 4 * depth)
    return NegativesAhead.of(counts)


def _count(query: int, scores: np.ndarray, rows: np.ndarray, matches: np.ndarray, relevance: Relevance) -> np.ndarray:
    """n_i of one query from what the search returned; inf for matches that it did not."""
    found = rows[rows >= 0]
    scores = scores[: len(found)]
    is_match, is_negative = relevance.of_rows(query, found)
    ahead = np.full(len(matches), np.inf)
    own = np.sort(scores[is_match])[::-1]
    ahead[: len(own)] = NegativeCounter().of_row(own, scores[is_negative])
    return ahead


def _ends_behind(scores: np.ndarray, rows: np.ndarray, matches: np.ndarray) -> bool:
    """Whether the search went past the last match: nothing unseen may tie with it."""
    return bool(scores[-1] < scores[np.isin(rows, matches)].min())
