"""The counts of `counting.count_ahead`, computed with torch on a GPU."""

from __future__ import annotations

import numpy as np
import torch

from reid_dml.errors import UserError
from reid_dml.ranking.counting import NegativesAhead, falling_by_row
from reid_dml.ranking.relevance import Relevance
from reid_dml.ranking.roc import PairScores
from reid_dml.ranking.scores import Scorer

_BLOCK_BYTES = 1 << 30  # of scores held on the device at a time


def _check_device(device: str) -> None:
    try:
        kind = torch.device(device).type
    except RuntimeError:
        kind = ""
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"device: {device!r} is neither cpu nor a CUDA device, such as cuda or cuda:0")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device: {device} was asked for, but torch sees no GPU; leave it at cpu")


def count_ahead_on(
    device: str, scorer: Scorer, relevance: Relevance, pairs: PairScores | None = None
) -> NegativesAhead:
    """Count the negatives ahead of every query's matches.

    Args:
        device: torch's name of the device; the gallery's features must fit on it.
        scorer, relevance, pairs: as for `count_ahead`.

    Raises:
        ValueError: no such device.
        UserError: a GPU where torch sees none.
    """
    _check_device(device)

    def put(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    gallery = put(scorer.gallery).T
    divisor, subtrahend = (None if x is None else put(x) for x in (scorer.divisor, scorer.subtrahend))
    copies, originals = put(scorer.copies), put(scorer.originals)
    at_once = max(1, _BLOCK_BYTES // (4 * gallery.shape[1]))
    counted = []
    for start in range(0, len(relevance), at_once):
        queries = np.arange(start, min(start + at_once, len(relevance)))
        scores = put(scorer.query[queries]) @ gallery
        if divisor is not None:
            scores /= divisor
        if subtrahend is not None:
            scores -= subtrahend
        if len(copies):
            scores[:, copies] = scores[:, originals]
        rows, columns, is_match = relevance.same_person_pairs(queries)
        same = scores[put(rows), put(columns)].cpu().numpy()
        matches, lengths = falling_by_row(same[is_match], rows[is_match], len(queries))
        scores[put(rows), put(columns)] = torch.nan
        found = np.zeros(matches.shape, np.int64)
        for place, bounds in enumerate(put(matches).unbind(1)):
            found[:, place] = (scores >= bounds[:, None]).sum(1).cpu().numpy()
        counted.append(NegativesAhead(lengths, found[np.arange(matches.shape[1]) < lengths[:, None]]))
        if pairs is not None:
            for row in np.flatnonzero(lengths):
                pairs.add(int(queries[row]), matches[row, : lengths[row]], scores[row].cpu().numpy())
    return NegativesAhead(*(np.concatenate(parts) for parts in zip(*counted, strict=True)))
