"""What the report of a retrieval run shows besides its table: CMC curves and ranked lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reid_dml.analysis.curves import cmc_curves
from reid_dml.analysis.ranked_lists import choose_lists, lists_html
from reid_dml.features.feature_set import FeatureSet
from reid_dml.reporting.figures import draw_lines
from reid_dml.reporting.sections import Section, plots

_LISTS = """<p>The ten nearest gallery images of ten queries{whose}, nearest first; <b style="color:#1a9a3c">green</b>
is the right person, <b style="color:#d92b2b">red</b> a wrong one. Images of the query's own person in its own camera do
not count and are passed over. Numbers are cosine similarities.</p>
{lists}"""


def retrieval_sections(metrics: Mapping[str, Any], features: Mapping[str, FeatureSet]) -> list[Section]:
    """The sections, from a cohort's metrics and the evaluated features by split, `query` and `gallery`."""
    cmc = [
        draw_lines(curves, title=title, x_label="rank", y_label="queries matched", percent=True)
        for protocol, title in (("single_query", "Single query"), ("multi_query", "Multi query"))
        if (curves := cmc_curves(metrics, protocol))
    ]
    lists = _LISTS.format(
        whose=" by the ensemble" if "ensemble" in metrics else "",
        lists=lists_html(choose_lists(features["query"], features["gallery"])),
    )
    return [Section("Cumulative matching characteristic", plots(cmc)), Section("Ranked lists", lists)]
