"""Scores of the gallery for every query, block by block: the whole matrix is never held."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from reid_dml.errors import UserError
from reid_dml.retrieval.features import FeatureSet, normalize, power_of_two_scale

METRICS = ("cosine", "euclidean")
_BLOCK_BYTES = 1 << 25  # of scores held at a time, where that many rows are enough for an efficient product
_MOST_ROWS, _FEWEST_ROWS = 512, 128
_CHUNK = 8192  # rows whose squares are held at a time


class Scorer:
    """Scores, larger is nearer: cosine similarity, or q.g - |g|^2 / 2, which falls as the Euclidean distance rises.

    Features of common scale are used where they lie, without a copy of the gallery. Bitwise equal gallery rows score
    equally for every query.

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
        norms = {}
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
        else:
            self.scale = power_of_two_scale(self.query, self.gallery)
            if self.scale != 1:
                self.query, self.gallery = self.query * self.scale, self.gallery * self.scale
            self.subtrahend = (_row_squares(self.gallery) / 2).astype(np.float32)
            self.query_terms = (_row_squares(self.query) / -2).astype(np.float32)
        self.copies, self.originals = _duplicates(self.gallery)

    def blocks(self, rows: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """(first query, scores (B, G) float32) in a buffer that the next block overwrites; B is at most `rows`."""
        rows = rows or min(_MOST_ROWS, max(_FEWEST_ROWS, _BLOCK_BYTES // (4 * len(self.gallery))))
        buffer = np.empty((min(rows, len(self.query)), len(self.gallery)), np.float32)
        for start in range(0, len(self.query), rows):
            part = self.query[start : start + rows]
            scores = np.matmul(part, self.gallery.T, out=buffer[: len(part)])
            if self.divisor is not None:
                scores /= self.divisor
            if self.subtrahend is not None:
                scores -= self.subtrahend
            if len(self.copies):  # a matrix product rounds otherwise in other places
                scores[:, self.copies] = scores[:, self.originals]
            yield start, scores


def mean_blocks(scorers: Sequence[Scorer]) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of the mean over members: of their cosine similarities, or of their Euclidean distances, negated."""
    for parts in zip(*(scorer.blocks() for scorer in scorers), strict=True):
        start, total = parts[0][0], np.zeros_like(parts[0][1])
        for scorer, (_, scores) in zip(scorers, parts, strict=True):
            if scorer.subtrahend is not None:
                terms = scorer.query_terms[start : start + len(scores), None]
                scores = -np.sqrt(np.maximum(-2 * (scores + terms), 0)) / scorer.scale
            total += scores
        yield start, total / len(scorers)


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


def _duplicates(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are bitwise copies of an earlier row, and those earlier rows."""
    words = np.ascontiguousarray(features).view(np.uint32)
    factors = np.random.default_rng(0).integers(1, 2**63, words.shape[1], dtype=np.uint64) | np.uint64(1)
    hashes = np.empty(len(features), np.uint64)
    for start in range(0, len(features), _CHUNK):
        hashes[start : start + _CHUNK] = words[start : start + _CHUNK].astype(np.uint64) @ factors
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    copies = np.flatnonzero(first[inverse] != np.arange(len(features)))
    originals = first[inverse[copies]]
    same = (features[copies] == features[originals]).all(1)
    return copies[same], originals[same]
