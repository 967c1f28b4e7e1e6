"""Calibrating a threshold on feature files."""

from __future__ import annotations

import os

from reid_dml.commands.inputs import Read
from reid_dml.features.formats import read_features
from reid_dml.files import write_json
from reid_dml.ranking.calibration import Calibration, calibrate


def calibrate_and_print(
    features: str | os.PathLike[str],
    gallery: str | os.PathLike[str] | None = None,
    *,
    false_accept_rate: float = 1e-3,
    confidence: float = 0.95,
    metric: str = "cosine",
    sample: int = 0,
    json: str | os.PathLike[str] | None = None,
    read: Read = read_features,
) -> Calibration:
    """Find the threshold for a wanted false-accept rate, print it, and return what was found.

    Args:
        features: feature file with person and camera ids.
        gallery: second file, to judge the pairs between the two.
        false_accept_rate, confidence, metric, sample: as for `ranking.calibration.calibrate`.
        json: file for the result.
        read: from a file, folder or table to features, see `commands.inputs`.
    """
    found = calibrate(
        read(features),
        read(gallery) if gallery else None,
        false_accept_rate=false_accept_rate,
        metric=metric,
        confidence=confidence,
        sample=sample,
        names=(str(features), str(gallery)),
    )
    if json:
        write_json(json, found.as_dict())
    what = "similarity of at least" if found.metric == "cosine" else "distance of at most"
    pairs = f"{found.different_pairs:,} pairs of different persons, {found.same_pairs:,} of the same"
    of = f", those of {found.sampled_images:,} drawn images with all others" if found.sampled_images else ""
    print(f"{pairs}, {found.persons:,} persons{of}")
    print(f"same person at a {what} {found.threshold:.4f} ({_interval(found.threshold_interval, 1, 4)})")
    for name, rate, interval in (
        ("false", found.false_accept_rate, found.false_accept_rate_interval),
        ("true", found.true_accept_rate, found.true_accept_rate_interval),
    ):
        print(f"{name}-accept rate {100 * rate:.4g} % ({_interval(interval, 100, 3)} %)")
    print(f"intervals: {100 * found.confidence:g} % confidence, {found.method}")
    return found


def _interval(ends: tuple[float, float], scale: float, digits: int) -> str:
    return " to ".join(f"{scale * end:.{digits}g}" for end in ends)
