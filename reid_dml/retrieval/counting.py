"""How many wrong items come before each true match, counted without sorting the gallery."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from reid_dml.retrieval.relevance import Relevance
from reid_dml.retrieval.roc import PairScores
from reid_dml.retrieval.threads import cpu_threads, row_parts

_FEW = 32  # up to so many matches, passes over the row are faster than ordering what is ahead of the last


def wrong_ahead(matches: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """n_i: how many wrong items score at least as high as the i-th match, (m,) int64.

    Args:
        matches: (m,) scores of the true matches, falling.
        wrong: scores of the wrong items, in any order.
    """
    if len(matches) <= _FEW:
        return np.array([np.count_nonzero(wrong >= score) for score in matches], np.int64)
    ahead = np.sort(wrong[wrong >= matches[-1]])
    return len(ahead) - np.searchsorted(ahead, matches, side="left")


def count_ahead(
    blocks: Iterator[tuple[int, np.ndarray]], relevance: Relevance, pairs: PairScores | None = None
) -> list[np.ndarray | None]:
    """n of every query, by matches from near to far; None for a query without a match.

    Args:
        blocks: (first query, scores (B, G)), larger is nearer; the scores are overwritten.
        relevance: what the gallery images are to each query.
        pairs: collects the scores of all pairs for the rates of verification, if given.
    """
    counts: list[np.ndarray | None] = [None] * len(relevance)

    def count_rows(start: int, scores: np.ndarray, part: range) -> PairScores | None:
        own = pairs.part() if pairs is not None else None
        for row in part:
            query, values = start + row, scores[row]
            rows = relevance.matches(query)
            if not len(rows):
                continue
            matches = np.sort(values[rows])[::-1]
            values[relevance.junk] = -np.inf
            values[relevance.same_person(query)] = -np.inf
            counts[query] = wrong_ahead(matches, values)
            if own is not None:
                own.add(query, matches, values)
        return own

    with ThreadPoolExecutor(cpu_threads()) as pool:
        for start, scores in blocks:
            parts = row_parts(len(scores))
            for own in pool.map(lambda part, start=start, scores=scores: count_rows(start, scores, part), parts):
                if pairs is not None and own is not None:
                    pairs.merge(own)
    return counts
