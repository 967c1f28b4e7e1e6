"""How many negatives come before each true match, counted without sorting the gallery."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from reid_dml.ranking.relevance import Relevance
from reid_dml.ranking.roc import PairScores
from reid_dml.ranking.threads import single_threaded_blas
from reid_dml.threads import cpu_threads

_BLOCK_BYTES = 1 << 29  # of scores held at a time by all threads
_MOST_ROWS, _FEWEST_ROWS = 512, 8  # of a block
# Measured, in comparisons of an item with a match: ordering an item, picking it out if it is to be ordered, and what
# passes cost before their first comparison.
_ORDERING, _PICKING, _PASSES = 46, 7, 60_000
_ROWS, _COMPARED = 8, 1 << 21  # queries counted in one operation, and the bytes of their comparisons, at most
_FEWEST_TOGETHER = 4  # queries for which one operation is better than theirs one by one
_CARRY = 255  # bytes of 0 or 1 that add up within a byte


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
    scores: Callable[[np.ndarray, np.ndarray], np.ndarray],
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
    lengths = relevance.match_counts()
    ahead = NegativesAhead(lengths, np.zeros(lengths.sum(), np.int64))
    firsts = np.cumsum(lengths) - lengths
    # Queries of about as many matches stand together: they are counted together.
    order = np.argsort(-lengths, kind="stable")
    waiting = deque(np.split(order, range(rows, len(order), rows)))

    def count_blocks(_: int) -> PairScores | None:
        counter, own = NegativeCounter(), pairs.part() if pairs is not None else None
        buffer: np.ndarray = np.empty((rows, relevance.gallery_size), dtype)
        while waiting:
            try:
                queries = waiting.popleft()
            except IndexError:
                break  # another thread took the last
            found = _count_block(scores(queries, buffer), queries, relevance, counter, own)
            places = np.arange(found.shape[1])
            counted = places < lengths[queries, None]
            ahead.counts[(firsts[queries, None] + places)[counted]] = found[counted]
        return own

    with single_threaded_blas(), ThreadPoolExecutor(threads) as pool:
        try:
            for own in pool.map(count_blocks, range(threads)):
                if pairs is not None and own is not None:
                    pairs.merge(own)
        finally:
            waiting.clear()  # an error, or Ctrl-C, ends the other threads too
    return ahead


def _block_rows(queries: int, row_bytes: int, threads: int) -> int:
    """Queries in a block: many make an efficient product, few keep memory low and all threads busy."""
    by_memory = max(_FEWEST_ROWS, _BLOCK_BYTES // (row_bytes * threads))
    return max(1, min(_MOST_ROWS, by_memory, -(-queries // (4 * threads))))


def _count_block(
    scores: np.ndarray, queries: np.ndarray, relevance: Relevance, counter: NegativeCounter, pairs: PairScores | None
) -> np.ndarray:
    """(B, m) int64 counts of queries, which are in falling order of their numbers of matches, padded with 0."""
    rows, columns, is_match = relevance.same_person_pairs(queries)
    matches, lengths = falling_by_row(scores[rows, columns][is_match], rows[is_match], len(queries))
    scores[rows, columns] = np.nan
    found = np.zeros(matches.shape, np.int64)
    for first, last in _alike(lengths, relevance.gallery_size):
        width = lengths[first]
        if last - first == 1:
            found[first, :width] = counter.of_row(matches[first, :width], scores[first])
        else:
            found[first:last, :width] = counter.of_rows(matches[first:last, :width], scores[first:last])
    if pairs is not None:
        for row in np.flatnonzero(lengths):
            pairs.add(int(queries[row]), matches[row, : lengths[row]], scores[row])
    return found


def _alike(lengths: np.ndarray, items: int) -> Iterator[tuple[int, int]]:
    """First row and the one behind the last, of some rows with matches at a time; those of many matches alone.

    Short operations would keep threads waiting for each other, since Python runs between them; those of several rows
    are longer, as long as their results stay in the cache.

    Args:
        lengths: (B,) matches of each row, falling.
        items: of a row.
    """
    first, count = 0, int(np.count_nonzero(lengths))
    while first < count:
        fitting = _COMPARED // (items * int(lengths[first]))
        taken = min(_ROWS, count - first, fitting) if fitting >= _FEWEST_TOGETHER else 1
        yield first, first + taken
        first += taken


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
        """Count for some queries: a comparison of all items for each match.

        Args:
            matches: (R, m) scores of each query's true matches, falling, padded with NaN.
            negatives: (R, G) scores of its negatives, in any order; NaN stands for an item that is left out.

        Returns:
            (R, m) int64, how many negatives score at least as high as each match; 0 for NaN.
        """
        (rows, width), items = matches.shape, negatives.shape[1]
        parts = max(1, -(-items // (8 * _CARRY)))
        words = -(-items // (8 * parts))  # of a part
        # Bytes of 0 or 1, of which eight are added at a time.
        reached = self._working_memory(rows, width, parts * words * 8)
        reached[:, :, items:] = False
        np.greater_equal(negatives[:, None], matches[:, :, None], out=reached[:, :, :items])
        # Unlike np.add.reduceat, einsum lets other threads work meanwhile.
        sums = np.einsum("ij->i", reached.view(np.uint64).reshape(-1, words))
        return sums.view(np.uint8).reshape(rows, width, -1).sum(axis=2, dtype=np.int64)

    def of_row(self, matches: np.ndarray, negatives: np.ndarray) -> np.ndarray:
        """The same for one query of many items or matches: (m,) and (G,), without padding.

        Where few items are ahead of the last match, they are picked out and ordered.
        """
        if not len(matches):
            return np.zeros(0, np.int64)
        reached = np.greater_equal(negatives, matches[-1], out=self._working_memory(len(negatives)))
        by_ordering = np.count_nonzero(reached) * _ORDERING + len(negatives) * _PICKING
        if by_ordering > len(negatives) * len(matches) + _PASSES:
            return self.of_rows(matches[None], negatives[None])[0]
        ahead = negatives.compress(reached)  # faster than indexing by the mask
        ahead.sort()
        return len(ahead) - ahead.searchsorted(matches)

    def _working_memory(self, *shape: int) -> np.ndarray:
        size = math.prod(shape)
        if self._bytes.size < size:
            self._bytes = np.empty(size, bool)
        return self._bytes[:size].reshape(shape)
