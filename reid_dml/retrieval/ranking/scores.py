"""Scores of the gallery for some queries: the whole matrix is never held."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from reid_dml.data.records import JUNK
from reid_dml.errors import UserError
from reid_dml.retrieval.features import FeatureSet, normalize, power_of_two_scale

METRICS = ("cosine", "euclidean")
_CHUNK = 8192  # rows whose squares are held at a time


class Scorer:
    """Scores, larger is nearer: cosine similarity, or q.g - |g|^2 / 2, which falls as the Euclidean distance rises.

    Features of common scale are used where they lie, without a copy of the gallery. Bitwise equal gallery rows score
    equally for every query. Junk scores NaN: whatever is compared with it is not reached.

    Args:
        query, gallery: features of equal width.
        metric: `cosine` or `euclidean`.

    Attributes:
        query, gallery: (Q, D) and (G, D) float32 whose products stay within float32.
        divisor: (G,) float32 the products are divided by, or None.
        subtrahend: (G,) float32 subtracted from the products, or None.
        copies, originals: gallery rows that are bitwise copies of an earlier row, and those rows.
        scale: what Euclidean distances were multiplied by.
        query_terms: (Q,) float32 to add to a query's scores to compare pairs of different queries.

    Raises:
        ValueError: unknown metric or different widths.
        UserError: an empty side, or features that are not finite.
    """

    def __init__(self, query: FeatureSet, gallery: FeatureSet, metric: str) -> None:
        if metric not in METRICS:
            raise ValueError(f"metric: {metric!r} is not one of {', '.join(METRICS)}")
        widths = query.features.shape[1], gallery.features.shape[1]
        if widths[0] != widths[1]:
            raise ValueError(f"query features are {widths[0]}-d, gallery features {widths[1]}-d")
        norms, junk = {}, gallery.person_ids == JUNK
        for name, side in (("query", query), ("gallery", gallery)):
            if not len(side):
                raise UserError(f"the {name} set is empty; there is nothing to evaluate")
            norms[name] = np.sqrt(_row_squares(side.features))
            _check_norms(name, norms[name], side.paths, metric)
        self.query, self.gallery = query.features, gallery.features
        self.divisor: np.ndarray | None = None
        self.subtrahend: np.ndarray | None = None
        self.query_terms, self.scale = np.zeros(len(query), np.float32), np.float32(1)
        if metric == "cosine":
            self.query = normalize(self.query)
            lengths = norms["gallery"]
            if lengths.max() > 2.0**40 or lengths.min(initial=1, where=lengths > 0) < 2.0**-40:
                self.gallery = normalize(self.gallery)
                lengths = np.sqrt(_row_squares(self.gallery))
            self.divisor = np.where(lengths > 0, lengths, 1).astype(np.float32)
            self.divisor[junk] = np.nan
        else:
            self.scale = power_of_two_scale(self.query, self.gallery)
            if self.scale != 1:
                self.query, self.gallery = self.query * self.scale, self.gallery * self.scale
            self.subtrahend = (_row_squares(self.gallery) / 2).astype(np.float32)
            self.subtrahend[junk] = np.nan
            self.query_terms = (_row_squares(self.query) / -2).astype(np.float32)
        norms["gallery"][junk] = np.nan  # equal to nothing: no score is copied from junk
        self.copies, self.originals = _duplicates(self.gallery, norms["gallery"])

    def scores(self, queries: range, buffer: np.ndarray) -> np.ndarray:
        """Scores (B, G) float32 of some queries, written into a buffer of at least as many rows."""
        part = self.query[queries.start : queries.stop]
        scores = np.matmul(part, self.gallery.T, out=buffer[: len(part)])
        if self.divisor is not None:
            scores /= self.divisor
        if self.subtrahend is not None:
            scores -= self.subtrahend
        if len(self.copies):  # a matrix product rounds otherwise in other places
            scores[:, self.copies] = scores[:, self.originals]
        return scores


def mean_scores(scorers: Sequence[Scorer], queries: range, buffer: np.ndarray) -> np.ndarray:
    """The mean over members of their cosine similarities, or of their Euclidean distances, negated: (B, G) float32."""
    total = np.zeros((len(queries), buffer.shape[1]), np.float32)
    for scorer in scorers:
        scores = scorer.scores(queries, buffer)
        if scorer.subtrahend is not None:
            scores += scorer.query_terms[queries.start : queries.stop, None]
            scores = -np.sqrt(np.maximum(-2 * scores, 0)) / scorer.scale
        total += scores
    return total / np.float32(len(scorers))


def _check_norms(name: str, norms: np.ndarray, paths: np.ndarray, metric: str) -> None:
    bad = np.flatnonzero(~np.isfinite(norms))
    if len(bad):
        rows = ", ".join(f"{row} ({paths[row]})" for row in bad[:3])
        raise UserError(f"{name} features are NaN or infinite in {len(bad)} rows, first {rows}; extract them again")
    zeros = int((norms == 0).sum())
    if zeros and metric == "cosine":
        warnings.warn(
            f"{zeros} of {len(norms)} {name} features are all 0: cosine similarity says nothing of them", stacklevel=4
        )


def _row_squares(features: np.ndarray) -> np.ndarray:
    """Squared lengths of the rows, (N,) float64; not finite where the row is not."""
    squares = np.empty(len(features))
    for start in range(0, len(features), _CHUNK):
        part = features[start : start + _CHUNK].astype(np.float64)
        squares[start : start + _CHUNK] = np.einsum("ij,ij->i", part, part)
    return squares


def _duplicates(features: np.ndarray, norms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are copies of an earlier row, and those earlier rows; copies have equal norms (N,)."""
    order = np.argsort(norms, kind="stable")
    ties = norms[order[1:]] == norms[order[:-1]]
    rows = np.sort(order[np.append(ties, False) | np.append(False, ties)])
    _, first, inverse = np.unique(features[rows], axis=0, return_index=True, return_inverse=True)
    originals = rows[first[inverse.ravel()]]
    is_copy = originals != rows
    return rows[is_copy], originals[is_copy]
