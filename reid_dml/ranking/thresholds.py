"""A threshold for "the same person?": a number, or a file of reid-dml calibrate that also knows what it is for."""

from __future__ import annotations

import json
import math
import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from reid_dml.errors import UserError
from reid_dml.features.validation import METRICS, DoubtfulFeatures, FeatureError, model_text
from reid_dml.paths import require_file
from reid_dml.ranking.probability import SamePerson

_MAKE = "make one with reid-dml calibrate --json"
_AGAIN = "calibrate again with these networks (reid-dml calibrate --json)"


@dataclass(frozen=True)
class Threshold:
    """The least similarity, or the largest Euclidean distance, of two images of one person.

    Attributes:
        value: the similarity or distance.
        metric: `cosine` or `euclidean`; empty: unknown, as of a plain number.
        model: fingerprint of the networks it was found for; empty: unknown.
        same_person: from a score to a probability; None: unknown.
        source: its file, for messages.
    """

    value: float
    metric: str = ""
    model: str = ""
    same_person: SamePerson | None = None
    source: str = ""

    @staticmethod
    def read(given: str | float | os.PathLike[str]) -> Threshold:
        """A threshold as a user gives it: a number, or the path of a file. Raises `UserError` for neither."""
        if isinstance(given, os.PathLike):
            return _read_file(given)
        try:
            value = float(given)
        except ValueError:
            return _read_file(str(given))
        if not math.isfinite(value):
            raise UserError(f"threshold {given}: is not a finite number")
        return Threshold(value)

    def check(self, metric: str, model: str, where: str) -> None:
        """Raise `UserError` unless it fits scores of this metric and model; an unknown model is warned of.

        Args:
            metric: of the scores.
            model: of the networks.
            where: what messages call what holds them.
        """
        if self.metric and self.metric != metric:
            raise UserError(
                f"{self.source}: a threshold for {self.metric} scores, those of {where} are {metric}; calibrate with "
                f"--metric {metric}"
            )
        least, most = (-1.0, 1.0) if metric == "cosine" else (0.0, float("inf"))
        if not self.metric and not least <= self.value <= most:  # one that was found may be 1 and a rounding
            raise UserError(
                f"threshold {self.value:g}: {metric} scores lie between {least:g} and {most:g}; take one that reid-dml "
                "calibrate finds"
            )
        if self.source and self.model != model:
            message = (
                f"{self.source}: a threshold for scores of {model_text(self.model)}, those of {where} are of "
                f"{model_text(model)}"
            )
            if self.model and model:
                raise FeatureError(f"{message}: they cannot be compared; {_AGAIN}")
            warnings.warn(f"{message}: whether it holds is for you to know; {_AGAIN}", DoubtfulFeatures, stacklevel=2)

    def accepts(self, scores: np.ndarray, metric: str) -> np.ndarray:
        """Whether scores are those of one person."""
        return scores >= self.value if metric == "cosine" else scores <= self.value


def _read_file(given: str | os.PathLike[str]) -> Threshold:
    path = require_file(given, "the threshold, a number or a file of reid-dml calibrate,", _MAKE)
    try:
        found = json.loads(path.read_text())
        value, metric, model = _finite(found["threshold"]), str(found["metric"]), str(found["model"])
        line = found.get("same_person")  # files of earlier versions have none
        same_person = SamePerson(_finite(line["slope"]), _finite(line["intercept"])) if line else None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise UserError(f"{path}: not a threshold file of reid-dml calibrate; {_MAKE}") from None
    if metric not in METRICS:
        raise UserError(f"{path}: metric {metric!r} is not one of {', '.join(METRICS)}; {_MAKE}")
    return Threshold(value, metric, model, same_person, str(path))


def _finite(number: Any) -> float:
    """A number of a file. Raises `ValueError` for NaN and infinity, which JSON of Python's own making may hold."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError
    return value
