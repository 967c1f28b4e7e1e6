"""What measures of anybody's give, checked: one that fails costs its own number, not the results of a long training."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable

import numpy as np


def measured(what: str, compute: Callable[[], object], shape: tuple[int, ...]) -> np.ndarray | None:
    """The values of one measure, or None and a warning for one that cannot be used.

    Args:
        what: what the warning calls it.
        compute: the measure.
        shape: that its values must have.

    Returns:
        Finite numbers of this shape in the type that the measure gives; None where it raises an error or gives others.
    """
    try:
        values = np.asarray(compute())
    except Exception as error:  # whatever it is, the other measures stand
        place = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
    else:
        if not (why := _fault(values, shape)):
            return values
    warnings.warn(f"{what}: {why}; it is left out of the metrics", stacklevel=2)
    return None


def _fault(values: np.ndarray, shape: tuple[int, ...]) -> str:
    """What is wrong with the values; empty if nothing is."""
    if values.dtype.kind not in "biuf":
        return f"gives {values.dtype}, not numbers"
    if values.shape != shape:
        return f"gives an array of shape {values.shape}, expected {shape or 'one number'}"
    if bad := int((~np.isfinite(values)).sum()):
        return f"{bad:,} of {values.size:,} values are NaN or infinite"
    return ""
