"""The same counts from a FAISS index, searched as deep as the matches lie: deeper only for queries that lack one."""

from __future__ import annotations

import faiss
import numpy as np

from reid_dml.errors import UserError
from reid_dml.retrieval.counting import Ahead, WrongAhead
from reid_dml.retrieval.features import normalize
from reid_dml.retrieval.relevance import Relevance
from reid_dml.retrieval.scores import Scorer

_FIRST_DEPTH = 256
_RESULTS = 1 << 24  # search results held at a time


def search_ahead(scorer: Scorer, relevance: Relevance, metric: str, *, factory: str = "Flat", probes: int = 0) -> Ahead:
    """Count for every query.

    With an approximate index, matches that its search never returns get n = inf: they count as not found.

    Args:
        scorer: the checked features.
        relevance: what the gallery images are to each query.
        metric: `cosine` or `euclidean`.
        factory: FAISS' name of the index; `Flat` is exact.
        probes: lists visited by an IVF index; 0 leaves the index's own number.

    Raises:
        UserError: a factory string that FAISS does not know, or too few gallery images to train the index.
    """
    gallery = normalize(scorer.gallery) if metric == "cosine" else scorer.gallery
    index = _build(np.ascontiguousarray(gallery), metric, factory, probes)
    counts = [np.empty(0)] * len(relevance)
    matches = [relevance.matches(query) for query in range(len(relevance))]
    waiting = np.array([query for query, rows in enumerate(matches) if len(rows)], np.int64)
    depth = min(len(gallery), _FIRST_DEPTH)
    while len(waiting):
        deeper = []
        at_once = max(1, _RESULTS // depth)
        for start in range(0, len(waiting), at_once):
            part = waiting[start : start + at_once]
            scores, rows = index.search(np.ascontiguousarray(scorer.query[part]), depth)
            if metric == "euclidean":
                scores = -scores
            for query, values, found in zip(part, scores, rows, strict=True):
                counts[query] = _count(query, values, found, matches[query], relevance)
                whole = np.isfinite(counts[query]).all() and _ends_behind(values, found, matches[query])
                if not whole and depth < len(gallery) and found[-1] >= 0:
                    deeper.append(query)
        waiting, depth = np.array(deeper, np.int64), min(len(gallery), 4 * depth)
    return Ahead.of(counts)


def _build(gallery: np.ndarray, metric: str, factory: str, probes: int) -> faiss.Index:
    kind = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2
    try:
        index = faiss.index_factory(gallery.shape[1], factory, kind)
        if probes:
            faiss.ParameterSpace().set_index_parameter(index, "nprobe", probes)
        index.train(gallery)
        index.add(gallery)
    except RuntimeError as error:
        reason = str(error).rsplit("Error: ", 1)[-1].strip()
        raise UserError(
            f"index {factory!r}: FAISS cannot build it for {len(gallery)} images of {gallery.shape[1]} dimensions "
            f"({reason}); name one such as Flat, IVF256,Flat, HNSW32 or IVF256,PQ32"
        ) from None
    return index


def _count(query: int, scores: np.ndarray, rows: np.ndarray, matches: np.ndarray, relevance: Relevance) -> np.ndarray:
    """n_i of one query from what the search returned; inf for matches that it did not."""
    found = rows[rows >= 0]
    scores = scores[: len(found)]
    is_match = np.isin(found, matches)
    left_out = np.isin(found, relevance.same_person(query)) | relevance.is_junk[found]
    ahead = np.full(len(matches), np.inf)
    own = np.sort(scores[is_match])[::-1]
    ahead[: len(own)] = WrongAhead().of_rows(own[None], scores[None, ~left_out])[0]
    return ahead


def _ends_behind(scores: np.ndarray, rows: np.ndarray, matches: np.ndarray) -> bool:
    """Whether the search went past the last match: nothing unseen may tie with it."""
    return bool(scores[-1] < scores[np.isin(rows, matches)].min())
