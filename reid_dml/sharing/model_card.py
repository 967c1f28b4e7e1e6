"""The README.md of a model folder: what was measured, on which data, what the model is for and where it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from yacs.config import CfgNode

from reid_dml.cells import markdown_table, percent, rank_cells
from reid_dml.cohort_metrics import metrics_by_label
from reid_dml.data.sets import registered_as
from reid_dml.models.summary import NetworkSummary
from reid_dml.versions import __version__

_PROTOCOLS = {
    "single_query": "single query",
    "multi_query": "multi-query",
    "reranked": "re-ranked",
    "expanded": "query expansion",
}


@dataclass(frozen=True)
class CardText:
    """What only whoever hands a model on can say.

    Attributes:
        licence: of the weights, in the hub's words, such as `apache-2.0`.
        terms: of the data they were trained on.
    """

    licence: str = "other"
    terms: str = ""


def model_card(
    cfg: CfgNode,
    record: Mapping[str, Any],
    summaries: Mapping[int, NetworkSummary],
    model: str,
    card: CardText,
    *,
    without_roboflow: str,
) -> str:
    """The text of the page.

    Args:
        cfg: the networks' config.
        record: of their run (result.json); empty: nothing is known. Its numbers are of these networks; `left_out`, if
            there, says how others were measured.
        summaries: of the networks by index.
        model: their fingerprint.
        card: what the config and the record do not say.
        without_roboflow: why Roboflow's `reid` cannot load them; empty where it can.
    """
    front = {
        "license": card.licence,
        "library_name": "reid_dml",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["person-re-identification", "deep-mutual-learning"],
    }
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---",
        f"# {cfg.EXPERIMENT}",
        _summary(summaries, record),
        "## Use\n\n" + _use(min(summaries), list(cfg.IMPORTS), without_roboflow),
        "## Networks\n\n" + _networks(cfg, summaries, model),
        "## Measured\n\n" + _measured(record),
        "## Data and its terms\n\n" + _terms(record, card),
        "## Intended use\n" + _INTENDED,
        "## Limits\n" + _LIMITS,
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


_INTENDED = """
Ranking images of persons, cut out of pictures, by how much they look like a query image: search in a gallery,
association of tracks, research. A person decides what follows from a ranking.

Not intended: identifying persons, decisions about persons without a human check, or any use that the law where it
runs, or the terms of the data above, forbid.
"""

_LIMITS = """
- It compares appearance, mostly clothes. Other clothes look like another person, the same clothes like the same one.
- The numbers above hold for images like those of the data set. On other cameras they are lower, often by far: measure
  on labelled images of your own (`score`), and calibrate a threshold on them (`calibrate`).
- Images are whole persons, upright, cut out closely. Other crops, and persons hidden in part, were not measured.
- How well it works for persons of different skin colour, sex, age or clothing was not measured.
"""


_NEEDS = """

It has parts that are not of reid_dml. They are in the Python module {0}, which is not in this folder: ask whoever
made the model for it, install it or put it on PYTHONPATH, and read it first, as it is a program. A model does not
import it by itself: import it in Python as above, and give every command `IMPORTS '[{1}]'` behind `--run`."""


def _summary(summaries: Mapping[int, NetworkSummary], record: Mapping[str, Any]) -> str:
    names = [entry.name for entry in summaries.values()]
    what = f"{len(names)} networks" if len(names) > 1 else "A network"
    objective = record.get("objective", {})
    strategy = {
        "dml": "trained with deep mutual learning (Zhang et al., CVPR 2018)",
        "dml_e": "trained with deep mutual learning from the ensemble",
        "symmetric_kl": "trained with symmetric mutual learning",
    }.get(objective.get("strategy", ""), "trained")
    data = " + ".join(_trained_on(record))
    return f"{what} ({', '.join(names)}), {strategy}{f' on {data}' if data else ''} by reid_dml {__version__}."


def _use(first: int, modules: Sequence[str], without_roboflow: str) -> str:
    own = "".join(f"\nimport {module}  # not of reid_dml, see below\n" for module in modules)
    text = f"""```python
from reid_dml import FeatureExtractor
{own}
extract = FeatureExtractor.from_pretrained("this/folder")  # or owner/name of a hub
features = extract(["a.jpg", "b.jpg"])  # (2, D) float32, rows of length 1
print(features @ features.T)  # cosine similarities
```

Every command of reid_dml that takes `--run` takes this folder, without a network connection; only `analyse curves`
needs the log of a run, which it does not hold."""
    if modules:
        text += _NEEDS.format(", ".join(f"`{module}`" for module in modules), ", ".join(modules))
    if without_roboflow:
        return text + f"\n\nRoboflow's package `reid` cannot load it: {without_roboflow}."
    return text + (
        f"\n\n`reid_config.json` and `weights.safetensors` are network {first} for Roboflow's package `reid`: "
        '`ReIDModel.from_pretrained("this/folder")`.'
    )


def _networks(cfg: CfgNode, summaries: Mapping[int, NetworkSummary], model: str) -> str:
    rows = [["file", "network", "parameters, head included", "multiply-accumulates an image", "feature width"]]
    for index, entry in summaries.items():
        numbers = (entry.parameters, entry.macs, entry.feature_dim)
        rows.append([f"`network_{index}.safetensors`", entry.name, *(f"{number:,}" for number in numbers)])
    height, width = cfg.INPUT.SIZE
    first = " x ".join(map(str, cfg.DATA.STORED_SIZE))
    lines = [f"Input: RGB, {height} x {width} (height x width); images are brought to {first} first."]
    lines.append(f"Values in [0, 1], minus {list(cfg.INPUT.MEAN)}, divided by {list(cfg.INPUT.STD)}.")
    if len(summaries) > 1:
        how = {"normalized": "scaled to length 1, side by side", "raw": "side by side"}[cfg.TEST.ENSEMBLE]
        total = sum(entry.feature_dim for entry in summaries.values())
        lines.append(f"Feature of all together: the networks' features {how}, scaled to length 1; {total:,} wide.")
    lines.append(f"Fingerprint: `{model}`. Features may be compared with others of this fingerprint only.")
    return markdown_table(rows) + "\n" + "\n".join(lines)


def _measured(record: Mapping[str, Any]) -> str:
    metrics = record.get("metrics")
    named = metrics_by_label(metrics) if metrics else {}
    if "ensemble" in named:
        named["all together"] = named.pop("ensemble")
    left_out = record.get("left_out", "")
    if not named and left_out:
        return f"Nothing: the numbers of the run were measured otherwise than these networks are handed on: {left_out}."
    if not named:
        what = "with a record without numbers" if record else "without the record of a run"
        return f"Nothing: these weights came {what}."
    retrieval, classes = [], []
    for label, found in named.items():
        for key, title in _PROTOCOLS.items():
            if key in found:
                retrieval.append([label, title, *_ranking_cells(found[key])])
        if test := found.get("classification", {}).get("test"):
            classes.append([label, *(percent(test.get(key)) for key in ("top1", "top5", "ece"))])
    text = ""
    if retrieval:
        header = ["of", "protocol", "mAP", "mINP", "rank-1", "rank-5", "rank-10"]
        text += markdown_table([header, *retrieval])
    if classes:
        text += markdown_table([["of", "top-1", "top-5", "calibration error"], *classes])
    flip = record.get("test", {}).get("flip")
    trained = f"{record['steps']:,} steps, seed {record['seed']}, on {record['device']}"
    versions = ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())
    text += f"\nIn percent, on the test images of {record['dataset']}"
    if flip is not None:
        text += " (each with its mirror image)" if flip else " (without mirror images)"
    text += f". One training: {trained}; {versions}. Everything else is in `result.json`."
    if left_out:
        text += f" All together were measured otherwise than they are handed on, and are left out: {left_out}."
    return text


def _ranking_cells(found: Mapping[str, Any]) -> list[str]:
    return [percent(found["mAP"]), percent(found.get("mINP")), *rank_cells(found["cmc"])]


def _trained_on(record: Mapping[str, Any]) -> list[str]:
    """Names of the data sets that the networks were trained on, which are not always what they were tested on."""
    data = record.get("trained_on") or record.get("dataset", "")
    return data.split(" + ") if data else []


def _terms(record: Mapping[str, Any], card: CardText) -> str:
    data = _trained_on(record)
    entries = {name: registered_as(name) for name in data}
    known = [entry for entry in entries.values() if entry and entry.terms]
    said = [f"Trained on {' + '.join(data)}."] if data else []
    if card.terms:
        said.append(card.terms)
    else:
        said += dict.fromkeys(entry.terms for entry in known)
        unknown = [name for name, entry in entries.items() if entry not in known]
        if unknown or not data:
            of = ", ".join(unknown) if len(data) > 1 else "the data"
            said.append(f"Terms of {of}: not known to reid_dml; ask whoever made this model.")
    if any(entry.research_only for entry in known):
        said.append("Whether weights trained on such data may be used commercially is for their user to find out.")
    return " ".join(said)
