"""What the report of a retrieval run shows besides its table: CMC curves, similarities of pairs and ranked lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reid_dml.analysis.curves import cmc_curves
from reid_dml.analysis.ranked_lists import choose_lists, lists_html, worst_lists
from reid_dml.analysis.score_histogram import similarity_histogram
from reid_dml.features.feature_set import FeatureSet
from reid_dml.report_page.sections import Section, plots
from reid_dml.reporting.figures import draw_lines

_LISTS = """<p>The ten nearest gallery images{whose}, nearest first; <b style="color:#1a9a3c">green</b> is the right
person, <b style="color:#d92b2b">red</b> a wrong one. Images of the query's own person in its own camera do not count
and are passed over. Numbers are cosine similarities.</p>
<h3>Queries drawn without regard to the result</h3>
<p>{drawn} queries, spread evenly over those with their person in the gallery, in the order of the files.</p>
{lists}
<h3>The worst queries</h3>
<p>The {worst} queries of least average precision, the worst first.</p>
{worst_lists}"""
_PAIRS = """<p>Pairs of a query and a gallery image that count in its ranking{whose}: the less the two curves overlap,
the better one threshold tells one person from two (<code>reid-dml calibrate</code>).</p>"""


def retrieval_figures(metrics: Mapping[str, Any], features: Mapping[str, FeatureSet]) -> dict[str, str]:
    """SVG by name: the CMC of each protocol, and last the similarities of pairs; arguments as for the sections."""
    cmc = {
        f"cmc {protocol}": draw_lines(
            curves, title=title, x_label="rank", y_label="queries matched", percent=True, y_range=(0, 1)
        )
        for protocol, title in (("single_query", "Single query"), ("multi_query", "Multi query"))
        if (curves := cmc_curves(metrics, protocol))
    }
    pairs = draw_lines(
        similarity_histogram(features["query"], features["gallery"]),
        title="Similarity of pairs",
        x_label="cosine similarity",
        y_label="share of the pairs",
        percent=True,
        filled=True,
    )
    return {**cmc, "similarity of pairs": pairs}


def retrieval_sections(metrics: Mapping[str, Any], features: Mapping[str, FeatureSet]) -> list[Section]:
    """The sections, from a cohort's metrics and the evaluated features by split, `query` and `gallery`."""
    query, gallery = features["query"], features["gallery"]
    whose = " by the ensemble" if "ensemble" in metrics else ""
    *cmc, pairs = retrieval_figures(metrics, features).values()
    drawn, worst = choose_lists(query, gallery), worst_lists(query, gallery)
    lists = _LISTS.format(
        whose=whose,
        drawn=len(drawn),
        lists=lists_html(drawn),
        worst=len(worst),
        worst_lists=lists_html(worst),
    )
    return [
        Section("Cumulative matching characteristic", plots(cmc)),
        Section("One person or two", _PAIRS.format(whose=whose) + plots([pairs])),
        Section("Ranked lists", lists),
    ]
