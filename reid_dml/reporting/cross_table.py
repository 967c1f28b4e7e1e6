"""A table of models and data sets: what every model reaches on each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reid_dml.cells import percent
from reid_dml.errors import UserError
from reid_dml.text import small_number


def cross_rows(
    models: Mapping[str, Mapping[str, Mapping[str, Any]]],
    sets: Sequence[str],
    network: str = "ensemble",
    trained_on: Mapping[str, str] | None = None,
) -> list[list[str]]:
    """Header, then a row a model with `mAP / rank-1` in percent on every data set; empty where it was not tested.

    Args:
        models: metrics of a cohort by data set, by model.
        sets: names of the data sets, in the order of the columns.
        network: `ensemble` (of a cohort of one, its network), `mean`, or the index of a network.
        trained_on: data set of each model's training, for a column of it; None: no such column.

    Raises:
        UserError: a network that a cohort does not have.
    """
    rows = [["mAP / rank-1 (%)", *(["trained on"] if trained_on else []), *sets]]
    for model, found in models.items():
        cells = [
            _cell(chosen_metrics(found[name], network, f"{model}: {name}")) if name in found else "" for name in sets
        ]
        rows.append([model, *([trained_on.get(model, "")] if trained_on else []), *cells])
    return rows


def chosen_metrics(metrics: Mapping[str, Any], network: str, where: str) -> Mapping[str, Any]:
    """The metrics of the ensemble, the mean or one network of a cohort.

    Args:
        metrics: of the cohort.
        network: as for `cross_rows`.
        where: they are from, for messages.

    Raises:
        UserError: a network that the cohort does not have.
    """
    networks = metrics["networks"]
    if network in ("ensemble", "mean"):
        return metrics.get(network, networks[0])
    index = small_number(network)
    if index is None or index >= len(networks):
        raise UserError(f"{where}: has no network {network!r:.40}; give ensemble, mean, or 0 ... {len(networks) - 1}")
    return networks[index]


def _cell(metrics: Mapping[str, Any]) -> str:
    single = metrics["single_query"]
    return f"{percent(single['mAP'])} / {percent(single['cmc'][0])}"
