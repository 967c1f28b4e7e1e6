"""What the report of a classification run shows besides its table: how far confidence and accuracy agree."""

from __future__ import annotations

from collections.abc import Mapping

from reid_dml.classification.calibration import CalibrationBins
from reid_dml.report_page.sections import Section, plots
from reid_dml.reporting.figures import draw_lines

_TEXT = """<p>Test images in {count} bins of the largest posterior probability (confidence): where the accuracy of a bin
lies below the diagonal, the network is more certain than it is right. The right-hand plot is each bin's share of the
images; bins with less than {least:.1%} of them are left out.</p>"""
_LEAST = 0.002  # share of the images: the accuracy of a handful says nothing


def calibration_figures(bins: Mapping[str, CalibrationBins]) -> dict[str, str]:
    """SVG by name: reliability diagrams (Guo et al., ICML 2017) of networks by label, and the shares of the bins."""
    curves, shares = {}, {}
    for label, found in bins.items():
        filled = found.counts >= _LEAST * found.counts.sum()
        confidence = found.confidence[filled].tolist()
        curves[label] = (confidence, found.accuracy[filled].tolist())
        shares[label] = (confidence, (found.counts[filled] / found.counts.sum()).tolist())
    reliability, confidence = (
        draw_lines(
            curves,
            title="Reliability",
            x_label="mean confidence of the bin",
            y_label="accuracy",
            percent=True,
            markers=True,
            diagonal="perfectly calibrated",
        ),
        draw_lines(
            shares,
            title="Confidence",
            x_label="mean confidence of the bin",
            y_label="test images",
            percent=True,
            markers=True,
        ),
    )
    return {"reliability": reliability, "confidence": confidence}


def calibration_sections(bins: Mapping[str, CalibrationBins]) -> list[Section]:
    """The section, from the calibration of networks by label."""
    count = max(len(found.counts) for found in bins.values())
    return [
        Section(
            "Calibration", _TEXT.format(count=count, least=_LEAST) + plots(list(calibration_figures(bins).values()))
        )
    ]
