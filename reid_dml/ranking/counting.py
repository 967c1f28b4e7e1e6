"""How many negatives come before each true match, counted without sorting the gallery."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from reid_dml.ranking.relevance import Relevance
from reid_dml.ranking.roc import PairScores
from reid_dml.ranking.threads import single_threaded_blas
from reid_dml.threads import cpu_threads

_BLOCK_BYTES = 1 << 29  # of scores held at a time by all threads
_MOST_ROWS, _FEWEST_ROWS = 512, 8  # of a block
_FEW_MATCHES = 32  # up to so many, a pass over the row for each match is faster than ordering what is ahead of the last
_ROWS, _COMPARED = 8, 1 << 24  # queries counted in one operation, and the bytes of their comparisons, at most
_CARRY = 255  # bytes of 0 or 1 that add up without a carry


class NegativesAhead(NamedTuple):
    """What the metrics need of a ranking.

    Attributes:
        lengths: (Q,) int64, m: the number of each query's true matches.
        counts: (sum of m,), n_1 ... n_m of one query after the other: how many negatives score at least as high as its
            i-th match from near to far. inf where a search did not return the match.
    """

    lengths: np.ndarray
    counts: np.ndarray

    @staticmethod
    def of(counts: Sequence[np.ndarray]) -> NegativesAhead:
        """From each query's n_1 ... n_m."""
        return NegativesAhead(np.array([len(own) for own in counts], np.int64), np.concatenate([np.empty(0), *counts]))


def count_ahead(
    scores: Callable[[range, np.ndarray], np.ndarray],
    relevance: Relevance,
    pairs: PairScores | None = None,
    *,
    dtype: type = np.float32,
) -> NegativesAhead:
    """Count the negatives ahead of every query's matches; threads take blocks of queries in turn.

    Args:
        scores: gives the scores of some queries (B, G), larger is nearer and NaN for junk, written into the buffer it
            is given; they are overwritten later.
        relevance: what the gallery images are to each query.
        pairs: collects the scores of all pairs for the rates of verification, if given.
        dtype: of the scores.
    """
    threads = cpu_threads()
    rows = _block_rows(len(relevance), relevance.gallery_size * np.dtype(dtype).itemsize, threads)
    blocks = [range(first, min(first + rows, len(relevance))) for first in range(0, len(relevance), rows)]
    waiting, counted = deque(enumerate(blocks)), [NegativesAhead.of([])] * len(blocks)

    def count_blocks(_: int) -> PairScores | None:
        counter, own = NegativeCounter(), pairs.part() if pairs is not None else None
        buffer: np.ndarray = np.empty((rows, relevance.gallery_size), dtype)
        while waiting:
            try:
                number, queries = waiting.popleft()
            except IndexError:
                break  # another thread took the last
            counted[number] = _count_block(scores(queries, buffer), queries, relevance, counter, own)
        return own

    with single_threaded_blas(), ThreadPoolExecutor(threads) as pool:
        try:
            for own in pool.map(count_blocks, range(threads)):
                if pairs is not None and own is not None:
                    pairs.merge(own)
        finally:
            waiting.clear()  # an error, or Ctrl-C, ends the other threads too
    return NegativesAhead(*(np.concatenate(parts) for parts in zip(*counted, strict=True)))


def _block_rows(queries: int, row_bytes: int, threads: int) -> int:
    """Queries in a block: many make an efficient product, few keep memory low and all threads busy."""
    by_memory = max(_FEWEST_ROWS, _BLOCK_BYTES // (row_bytes * threads))
    return max(1, min(_MOST_ROWS, by_memory, -(-queries // (4 * threads))))


def _count_block(
    scores: np.ndarray, queries: range, relevance: Relevance, counter: NegativeCounter, pairs: PairScores | None
) -> NegativesAhead:
    rows, columns, is_match = relevance.same_person_pairs(queries)
    matches, lengths = falling_by_row(scores[rows, columns][is_match], rows[is_match], len(queries))
    scores[rows, columns] = np.nan
    found = np.zeros(matches.shape, np.int64)
    at_once = max(1, min(_ROWS, _COMPARED // max(1, matches.shape[1] * relevance.gallery_size)))
    for first in range(0, len(queries), at_once):
        few = slice(first, first + at_once)
        width = lengths[few].max()
        found[few, :width] = counter.of_rows(matches[few, :width], scores[few])
    if pairs is not None:
        for row in np.flatnonzero(lengths):
            pairs.add(queries[row], matches[row, : lengths[row]], scores[row])
    return NegativesAhead(lengths, found[np.arange(matches.shape[1]) < lengths[:, None]])


def falling_by_row(values: np.ndarray, rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Each row's values from high to low.

    Args:
        values: (n,) of all rows.
        rows: (n,) int64, the row of each value.
        count: number of rows.

    Returns:
        (count, most) the values, padded with NaN; (count,) int64, how many each row has.
    """
    lengths = np.bincount(rows, minlength=count)
    order = np.lexsort((-values, rows))
    places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    padded = np.full((count, lengths.max(initial=0)), np.nan, values.dtype)
    padded[rows[order], places] = values[order]
    return padded, lengths


class NegativeCounter:
    """Counts the negatives that score at least as high as each match; keeps its working memory, one for each thread."""

    def __init__(self) -> None:
        self._bytes: np.ndarray = np.empty(0, bool)

    def of_rows(self, matches: np.ndarray, negatives: np.ndarray) -> np.ndarray:
        """Count for some queries.

        Args:
            matches: (R, m) scores of each query's true matches, falling, padded with NaN.
            negatives: (R, G) scores of its negatives, in any order; NaN stands for an item that is left out.

        Returns:
            (R, m) int64, how many negatives score at least as high as each match; 0 for NaN.
        """
        if matches.shape[1] <= _FEW_MATCHES:
            return self._by_passes(matches, negatives)
        return np.stack([_by_ordering(*sides) for sides in zip(matches, negatives, strict=True)])

    def _by_passes(self, matches: np.ndarray, negatives: np.ndarray) -> np.ndarray:
        """A comparison of all items for each match, stored as bytes of 0 or 1, of which eight are added at a time."""
        (rows, width), items = matches.shape, negatives.shape[1]
        words = -(-items // 8)
        size = rows * width * 8 * words
        if self._bytes.size < size:
            self._bytes = np.empty(size, bool)
        reached = self._bytes[:size].reshape(rows, width, 8 * words)
        reached[:, :, items:] = False
        np.greater_equal(negatives[:, None], matches[:, :, None], out=reached[:, :, :items])
        sums = np.add.reduceat(reached.view(np.uint64), np.arange(0, words, _CARRY), axis=2)
        return sums.view(np.uint8).sum(axis=2, dtype=np.int64)


def _by_ordering(matches: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """The same for one query, ordering the items that reach its last match."""
    real = matches[~np.isnan(matches)]
    found = np.zeros(len(matches), np.int64)
    if len(real):
        ahead = np.sort(negatives[negatives >= real[-1]])
        found[: len(real)] = len(ahead) - np.searchsorted(ahead, real, side="left")
    return found
