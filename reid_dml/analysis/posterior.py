"""A figure of how networks spread their probability (CVPR, Fig. 4c)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reid_dml.reporting.figures import draw_lines


def draw_posterior(ranked: Mapping[str, Sequence[float]], what: str) -> str:
    """Mean probability by rank, a curve a network, as SVG; `what` says of which images."""
    curves = {label: (list(range(1, len(values) + 1)), list(values)) for label, values in ranked.items()}
    return draw_lines(
        curves,
        title=f"Mean posterior of the top classes, {what}",
        x_label="class (1: the true one, then by probability)",
        y_label="mean probability",
        markers=True,
    )
