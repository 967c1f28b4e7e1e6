"""The counts of `counting.count_ahead`, computed with torch on a GPU."""

from __future__ import annotations

import numpy as np
import torch

from reid_dml.retrieval.relevance import Relevance
from reid_dml.retrieval.roc import PairScores
from reid_dml.retrieval.scores import Scorer

_BLOCK_BYTES = 1 << 30  # of scores held on the device at a time


def count_ahead_on(
    device: str, scorer: Scorer, relevance: Relevance, pairs: PairScores | None = None
) -> list[np.ndarray | None]:
    """n of every query, by matches from near to far; None for a query without a match.

    Args:
        device: torch's name of the device; the gallery's features must fit on it.
        scorer, relevance, pairs: as for `count_ahead`.
    """
    counts: list[np.ndarray | None] = [None] * len(relevance)
    matches = [relevance.matches(query) for query in range(len(relevance))]
    queries = np.array([query for query, rows in enumerate(matches) if len(rows)], np.int64)

    def put(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    gallery, junk = put(scorer.gallery).T, put(relevance.junk)
    divisor, subtrahend = (None if x is None else put(x) for x in (scorer.divisor, scorer.subtrahend))
    copies, originals = put(scorer.copies), put(scorer.originals)
    at_once = max(1, _BLOCK_BYTES // (4 * gallery.shape[1]))
    for start in range(0, len(queries), at_once):
        part = queries[start : start + at_once]
        scores = put(scorer.query[part]) @ gallery
        if divisor is not None:
            scores /= divisor
        if subtrahend is not None:
            scores -= subtrahend
        if len(copies):
            scores[:, copies] = scores[:, originals]
        rows, columns, places = _places([matches[query] for query in part])
        own = torch.full((len(part), int(places.max()) + 1), -torch.inf, device=device)
        own[put(rows), put(places)] = scores[put(rows), put(columns)]
        own = own.sort(dim=1, descending=True).values
        scores[:, junk] = -torch.inf
        hidden_rows, hidden_columns, _ = _places([relevance.same_person(query) for query in part])
        scores[put(hidden_rows), put(hidden_columns)] = -torch.inf
        ahead = torch.stack([(scores >= column[:, None]).sum(1) for column in own.unbind(1)], dim=1).cpu().numpy()
        for number, query in enumerate(part):
            size = len(matches[query])
            counts[query] = ahead[number, :size]
            if pairs is not None:
                pairs.add(query, own[number, :size].cpu().numpy(), scores[number].cpu().numpy())
    return counts


def _places(lists: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lists of different lengths as one: the list's number, the entry and its place within its list."""
    lengths = np.array([len(entries) for entries in lists])
    rows = np.repeat(np.arange(len(lists)), lengths)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return rows, np.concatenate(lists), places
