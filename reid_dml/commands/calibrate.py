"""Calibrating a threshold on feature files."""

from __future__ import annotations

import os
import warnings

import numpy as np
from yacs.config import CfgNode

from reid_dml.commands.inputs import Read
from reid_dml.data.records import DISTRACTOR
from reid_dml.features.feature_set import FeatureSet
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
    networks: CfgNode | None = None,
) -> Calibration:
    """Find the threshold for a wanted false-accept rate, print it, and return what was found.

    Args:
        features: feature file with person and camera ids.
        gallery: second file, to judge the pairs between the two.
        false_accept_rate, confidence, metric, sample: as for `ranking.calibration.calibrate`.
        json: file for the result.
        read: from a file, folder or table to features, see `commands.inputs`.
        networks: config of the networks that the features are made with, where it is known: the persons they were
            trained on are warned of.
    """
    sides = [read(path) for path in (features, gallery) if path]
    if networks is not None:
        for path, side in zip((features, gallery), sides, strict=False):
            _warn_of_trained_persons(str(path), side, networks)
    found = calibrate(
        *sides,
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


def _warn_of_trained_persons(where: str, features: FeatureSet, networks: CfgNode) -> None:
    """Say that networks were trained on persons of these features, which they tell apart better than others.

    A person is taken for one of theirs by its name, or by its number where the image lies with their training data:
    numbers mean other persons elsewhere.
    """
    from reid_dml.runs.folder import RunFolder  # loads torch, which a file of features does not need

    folder = RunFolder.of(networks.MODEL.WEIGHTS)
    if not folder.classes_file.is_file():
        return
    trained, root = set(folder.class_names()), os.path.realpath(networks.DATA.ROOT)
    root = root if os.path.isdir(root) else os.path.dirname(root)  # of a list, the folder it lies in
    known = features.names.persons
    persons = {
        person
        for person, path in zip(features.person_ids.tolist(), features.paths.tolist(), strict=True)
        if known.get(person, str(person)) in trained
        and (person in known or os.path.realpath(path).startswith(os.path.join(root, "")))
    }
    if persons:
        count = len(np.unique(features.person_ids[features.person_ids > DISTRACTOR]))
        warnings.warn(
            f"{where}: the networks were trained on {len(persons):,} of these {count:,} persons, whom they tell apart "
            "better than others: the threshold and its rates are too optimistic; calibrate on persons that they have "
            "not seen, such as those that the run was tested on",
            stacklevel=3,
        )


def _interval(ends: tuple[float, float], scale: float, digits: int) -> str:
    return " to ".join(f"{scale * end:.{digits}g}" for end in ends)
