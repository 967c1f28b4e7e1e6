"""Figures of several runs."""

from __future__ import annotations

import re

from reid_dml.analysis.paper_figures import draw_curves


def test_as_many_curves_as_three_runs_of_two_networks_have_are_told_apart():
    curves = {f"run {run}, network {network}": ([1, 2], [run, network]) for run in range(3) for network in range(2)}
    drawn = draw_curves(curves, title="loss", y_label="nats")
    legend = drawn[drawn.index('id="legend') :]
    looks = re.findall(r'<path d="M [^"]*" style="fill: none; ([^"]*)"', legend)
    assert len(looks) == len(set(looks)) == 6
