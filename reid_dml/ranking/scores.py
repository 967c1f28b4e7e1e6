"""Scores of the gallery for some queries: the whole matrix is never held."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reid_dml.features.feature_set import FeatureSet, heavy_offset, normalize, power_of_two_scale, whole_numbers
from reid_dml.features.validation import (
    check_features,
    check_metric,
    check_not_empty,
    check_spread,
    check_widths,
    row_squares,
)
from reid_dml.ranking.protocol import is_junk


class Scorer:
    """Scores, larger is nearer: |q| times the cosine similarity, or q.g - |g|^2 / 2, which falls as the distance rises.

    Within a query both order the gallery as cosine similarity and Euclidean distance do; `comparable` makes scores of
    different queries comparable. Features of common scale are used where they lie, without a copy of the gallery,
    unless Euclidean distances are small beside an offset that all share, which is taken away. Bitwise equal gallery
    rows score equally for every query, and where float32 holds all products exactly (whole numbers), equal similarities
    and distances do. Junk scores NaN: whatever is compared with it is not reached.

    Args:
        query, gallery: features of equal width.
        metric: `cosine` or `euclidean`.

    Attributes:
        query, gallery: (Q, D) and (G, D) float32 whose products stay within float32.
        divisor: (G,) the products are divided by, or None; float64 where float32 would lose what is exact.
        subtrahend: (G,) float32 subtracted from the products, or None.
        copies, originals: gallery rows that are bitwise copies of an earlier row, and those rows.
        scale: what Euclidean distances were multiplied by.

    Raises:
        ValueError: unknown metric.
        FeatureError: different widths, an empty side, features that are not finite, or too different in size for
            float32. Zero vectors have the similarity 0 to everything, with a warning.
    """

    def __init__(self, query: FeatureSet, gallery: FeatureSet, metric: str) -> None:
        check_metric(metric)
        check_widths("gallery", gallery.features.shape[1], "query", query.features.shape[1])
        norms, junk = {}, is_junk(gallery.person_ids)
        for name, side in (("query", query), ("gallery", gallery)):
            check_not_empty(name, len(side))
            norms[name] = check_features(name, side, metric, any_scale=True)
        norms["gallery"][junk] = np.nan  # counts for nothing, and is equal to nothing: no score is copied from it
        self.query, self.gallery = query.features, gallery.features
        self.divisor: np.ndarray | None = None
        self.subtrahend: np.ndarray | None = None
        self.scale = np.float32(1)
        self._factors, self._terms = np.ones(len(query), np.float32), np.zeros(len(query), np.float32)
        if metric == "cosine":
            # A power of two for each query is exact; so is everything behind it, for whole numbers.
            _, exponents = np.frexp(np.where(norms["query"] > 0, norms["query"], 1))
            self.query = np.ldexp(self.query, -exponents[:, None])
            lengths = np.ldexp(norms["query"], -exponents)
            self._factors = (1 / np.where(lengths > 0, lengths, 1)).astype(np.float32)
            lengths = norms["gallery"]
            if _largest(lengths) > 2.0**40 or _smallest(lengths) < 2.0**-40:
                self.gallery = normalize(self.gallery)
                lengths = np.where(junk, np.nan, np.sqrt(row_squares(self.gallery)))
            self.divisor = np.where(lengths == 0, 1, lengths)
            if not (whole_numbers(query.features) and whole_numbers(gallery.features)):
                self.divisor = self.divisor.astype(np.float32)
        else:
            largest = max(_largest(norms["query"]), _largest(norms["gallery"]))
            self.scale = power_of_two_scale(largest)
            if self.scale != 1:
                if (smallest := _smallest(norms["gallery"])) * float(self.scale) < 2.0**-60:
                    check_spread(
                        {"gallery": (norms["gallery"], gallery.paths), "query": (norms["query"], query.paths)}, smallest
                    )
                with np.errstate(over="ignore"):  # of junk
                    self.query, self.gallery = self.query * self.scale, self.gallery * self.scale
            squares = row_squares(self.gallery)
            if (offset := heavy_offset(self.gallery, squares, ~junk)) is not None:
                self.query, self.gallery = self.query - offset, self.gallery - offset
                squares = row_squares(self.gallery)
            with np.errstate(over="ignore"):
                self.subtrahend = (squares / 2).astype(np.float32)
            self.subtrahend[junk] = np.nan
            self._terms = (row_squares(self.query) / -2).astype(np.float32)
        self.copies, self.originals = _duplicates(self.gallery, norms["gallery"])

    def comparable(self, query: int, scores: np.ndarray) -> np.ndarray:
        """A query's scores such that those of different queries compare: similarities, or -|q - g|^2 / 2."""
        return scores * self._factors[query] + self._terms[query]

    def scores(self, queries: np.ndarray, buffer: np.ndarray) -> np.ndarray:
        """Scores (B, G) float32 of some queries, by their rows, written into a buffer of at least as many rows."""
        part = self.query[queries]
        scores = np.matmul(part, self.gallery.T, out=buffer[: len(part)])
        if self.divisor is not None:
            np.divide(scores, self.divisor, out=scores, casting="same_kind")
        if self.subtrahend is not None:
            scores -= self.subtrahend
        if len(self.copies):  # a matrix product rounds otherwise in other places
            scores[:, self.copies] = scores[:, self.originals]
        return scores

    def similarities(self, queries: np.ndarray, buffer: np.ndarray) -> np.ndarray:
        """Cosine similarities, or Euclidean distances negated: they compare with those of other members."""
        scores = self.scores(queries, buffer)
        scores *= self._factors[queries, None]
        if self.subtrahend is not None:
            scores += self._terms[queries, None]
            scores *= -2
            np.sqrt(np.maximum(scores, 0, out=scores), out=scores)
            scores /= -self.scale
        return scores


def mean_scores(scorers: Sequence[Scorer], queries: np.ndarray, buffer: np.ndarray) -> np.ndarray:
    """The mean over members of their cosine similarities, or of their Euclidean distances, negated.

    Args:
        scorers: one for each member.
        queries: (B,) int64, rows of the query set.
        buffer: (at least B, G) float32, working memory.

    Returns:
        (B, G) float32.
    """
    total = np.zeros((len(queries), buffer.shape[1]), np.float32)
    for scorer in scorers:
        total += scorer.similarities(queries, buffer)
    total /= np.float32(len(scorers))
    return total


def _largest(norms: np.ndarray) -> float:
    return float(norms.max(initial=0, where=~np.isnan(norms)))


def _smallest(norms: np.ndarray) -> float:
    """The smallest that is not 0; inf if there is none."""
    return float(norms.min(initial=np.inf, where=norms > 0))


def _duplicates(features: np.ndarray, norms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are copies of an earlier row, and those earlier rows; copies have equal norms (N,)."""
    order = np.argsort(norms, kind="stable")
    ties = norms[order[1:]] == norms[order[:-1]]
    rows = np.sort(order[np.append(ties, False) | np.append(False, ties)])
    if not len(rows):
        return rows, rows
    _, first, inverse = np.unique(features[rows], axis=0, return_index=True, return_inverse=True)
    originals = rows[first[inverse.ravel()]]
    is_copy = originals != rows
    return rows[is_copy], originals[is_copy]
