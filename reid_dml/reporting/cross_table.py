"""A table of models and data sets: what every model reaches on each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reid_dml.cells import percent
from reid_dml.cohort_metrics import indices_of, of_members
from reid_dml.errors import UserError
from reid_dml.text import small_number


def cross_rows(
    models: Mapping[str, Mapping[str, Mapping[str, Any]]],
    sets: Sequence[str],
    network: str = "ensemble",
    trained_on: Mapping[str, str] | None = None,
) -> list[list[str]]:
    """Header, then a row a model with `mAP / rank-1` in percent on every data set; empty where it was not evaluated.

    Args:
        models: metrics of a cohort by data set, by model.
        sets: names of the data sets, in the order of the columns.
        network: `ensemble` (of a cohort of one, its network), `mean`, the index of a network, or those of several,
            such as 0,1, whose ensemble was evaluated.
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
    """The metrics of an ensemble, the mean or one network of a cohort; empty where they were not evaluated.

    Args:
        metrics: of the cohort.
        network: as for `cross_rows`.
        where: they are from, for messages.

    Raises:
        UserError: a network that the cohort does not have.
    """
    if network not in ("ensemble", "mean"):
        indices = indices_of(metrics)
        chosen = [small_number(word.strip()) for word in network.split(",")]
        if any(index not in indices for index in chosen) or len(set(chosen)) < len(chosen):
            known = ", ".join(map(str, indices))
            raise UserError(f"{where}: has no network {network!r:.40}; give ensemble, mean, or one of {known}")
        metrics, network = of_members(metrics, [index for index in chosen if index is not None]), "ensemble"
    if len(metrics["networks"]) == 1:
        return metrics["networks"][0]
    return metrics.get(network, {})


def _cell(metrics: Mapping[str, Any]) -> str:
    if not metrics:
        return ""
    single = metrics["single_query"]
    return f"{percent(single['mAP'])} / {percent(single['cmc'][0])}"
