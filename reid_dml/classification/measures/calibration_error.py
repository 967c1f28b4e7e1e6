"""ECE: the expected calibration error."""

from __future__ import annotations

from reid_dml.classification.calibration import calibration_bins, expected_calibration_error
from reid_dml.classification.measures import register_measure
from reid_dml.classification.statistics import SampleStatistics


@register_measure("ece", title="ECE", order=2)
def calibration_error(samples: SampleStatistics) -> float:
    """`expected_calibration_error` in 15 bins."""
    return expected_calibration_error(calibration_bins(samples.confidence, samples.rank < 1))
