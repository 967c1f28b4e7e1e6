"""Model folders: trained networks to hand on, in the layout of the Hugging Face hub.

A model folder is a run folder without its training: `config.yml`, a `network_K.safetensors` for each network (the
weights that evaluation uses, averages where there are any), `result.json` with the run's numbers, as far as they were
measured with what is handed on, and a `README.md`. Everything that takes a run folder takes it. It names no person of
the training data and no folder of this machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from reid_dml.cohort_metrics import indices_of, of_members
from reid_dml.config import all_options, default_config, get_option
from reid_dml.errors import UserError
from reid_dml.files import read_json, save_folder, write_bytes, write_json, write_text
from reid_dml.models import ReIDNetwork
from reid_dml.models.safetensors_files import weights_bytes
from reid_dml.models.summary import NetworkSummary, summarize_network
from reid_dml.models.weights import read_metadata
from reid_dml.outputs import check_folder
from reid_dml.paths import given_path
from reid_dml.runs.folder import RunFolder, config_text
from reid_dml.runs.networks import INPUT_OPTIONS, differences, network_options, uses_average, weights_files
from reid_dml.runs.sources import (
    MEMBERS_KEY,
    WEIGHTS_NAME,
    head_classes,
    header,
    known_config,
    members_text,
    without_place,
)
from reid_dml.sharing.model_card import CardText, model_card
from reid_dml.sharing.roboflow import roboflow_architecture, roboflow_config

_COPY = "copy it again from where the run was made"
# What texts and numbers of a record raise where they are of other types; values that JSON does not have, too.
_OTHER_TYPES = (AttributeError, KeyError, TypeError, ValueError, IndexError)


def save_model(
    networks: Mapping[int, ReIDNetwork], cfg: CfgNode, model: str, folder: str | os.PathLike[str], card: CardText
) -> Path:
    """Write networks as a model folder, all at once or not at all.

    Args:
        networks: by their index in `COHORT.NETWORKS`; all of them, or some.
        cfg: what they were opened with; `MODEL.WEIGHTS` says where they came from, and so where their numbers are.
        model: their fingerprint, see `features.fingerprint`.
        folder: must be new or empty.
        card: what only whoever hands the model on can say.

    Returns:
        The folder.

    Raises:
        UserError: a folder that holds something or cannot be written, or networks that are no networks of ours (an
            exported file).
    """
    for network in networks.values():
        if not isinstance(network, ReIDNetwork):
            raise UserError(f"{cfg.MODEL.WEIGHTS}: is an exported file; save the run or model it was exported from")
    folder = check_new_folder(folder)
    classes, record = head_classes(cfg.MODEL.WEIGHTS), _record(cfg)
    size = (cfg.INPUT.SIZE[0], cfg.INPUT.SIZE[1])
    summaries = {  # before anything that a record could be to blame for
        index: summarize_network(networks[index], cfg.COHORT.NETWORKS[index], size) for index in sorted(networks)
    }
    own = handed_on_config(cfg)
    try:
        record = record_of(_of_what_is_handed_on(record, cfg, len(networks)), sorted(networks))
        save_folder(folder, lambda draft: _write(draft, networks, own, model, record, classes, summaries, card))
    except _OTHER_TYPES as error:
        if not record:
            raise
        raise UserError(
            f"{RunFolder.of(cfg.MODEL.WEIGHTS).result_file}: has fields that no run writes ({error}); {_COPY}, or "
            "remove it"
        ) from error
    return folder


def check_new_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder, if it is not there yet or empty. Raises `UserError` otherwise, or where nothing can be written."""
    folder = given_path(folder, "folder")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder for the model")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: is not empty; name a new folder, nothing is overwritten")
    check_folder(folder.absolute().parent, str(folder))
    return folder


def handed_on_config(cfg: CfgNode) -> CfgNode:
    """A config without the folders of this machine; weights are the last ones, as there will be no others."""
    kept, defaults = without_place(cfg), default_config()
    for key, option in all_options().items():
        value = get_option(kept, key)
        if option.path and value != get_option(defaults, key):
            *parents, name = key.split(".")
            own = get_option(kept, ".".join(parents))
            own[name] = [_shortened(path) for path in value] if isinstance(value, list) else _shortened(value)
    kept.TEST.WEIGHTS = "last"
    return kept


def record_of(record: Mapping[str, Any], members: Sequence[int]) -> dict[str, Any]:
    """The record of a run with the numbers of some of its networks alone: of no others, nor of an ensemble with others.

    Args:
        record: of the run, or of a model folder that was made from it.
        members: the networks, by their index in the cohort.
    """
    metrics = record.get("metrics")
    if not metrics or indices_of(metrics) == list(members):
        return dict(record)
    places = [place for place, index in enumerate(indices_of(metrics)) if index in members]
    curves = {
        name: {**curve, "networks": [curve["networks"][place] for place in places]}
        for name, curve in record.get("curves", {}).items()
    }
    return {
        **record,
        "networks": [record["networks"][place] for place in places],
        "metrics": of_members(metrics, members),
        **({"curves": curves} if curves else {}),
    }


def _shortened(path: str) -> str:
    return "/".join(Path(path).parts[-2:])


def _record(cfg: CfgNode) -> dict[str, Any]:
    """The record of the run that the networks are of; {} without one."""
    if not cfg.MODEL.WEIGHTS:  # networks of the caller's own
        return {}
    file = RunFolder.of(cfg.MODEL.WEIGHTS).result_file
    return read_json(file, _COPY) if file.is_file() else {}


def _of_what_is_handed_on(record: dict[str, Any], cfg: CfgNode, networks: int) -> dict[str, Any]:
    """The record without numbers that were measured otherwise; `left_out` says what was otherwise.

    Args:
        record: of the run that the networks are of.
        cfg: what they were opened with.
        networks: how many are handed on.
    """
    metrics = record.get("metrics")
    if not metrics:
        return record
    measured = _measured_config(record, cfg)
    options = (*INPUT_OPTIONS, *network_options(cfg), "TEST.FLIP")
    left_out = [*_other_weights(measured, cfg), *differences(measured, cfg, options)]
    if left_out:
        metrics = {}
    elif networks > 1 and "ensemble" in metrics and (left_out := differences(measured, cfg, ["TEST.ENSEMBLE"])):
        metrics = {label: found for label, found in metrics.items() if label not in ("ensemble", "ensembles")}
    return {**record, "metrics": metrics, "left_out": "; ".join(left_out)} if left_out else record


def _measured_config(record: Mapping[str, Any], cfg: CfgNode) -> CfgNode:
    """What a record's numbers were measured with: the run's own config, tested as the record says."""
    measured = (known_config(cfg.MODEL.WEIGHTS) or cfg).clone()
    measured.defrost()
    for name, value in record.get("test", {}).items():
        measured.TEST[name.upper()] = value
    return measured


def _other_weights(measured: CfgNode, cfg: CfgNode) -> list[str]:
    """In words, whether the numbers are of the weights' averages and these weights are the last ones, or otherwise.

    Those of a model folder are of the weights in it, or were left out when it was made.
    """
    file = next(iter(weights_files(cfg, cfg.MODEL.WEIGHTS).values()))
    about, named = read_metadata(file), WEIGHTS_NAME.fullmatch(file.name)
    average = about["average"] == "true" if "average" in about else bool(named and named[2])
    if MEMBERS_KEY in about or average == uses_average(measured):
        return []
    was, now = ("the last ones", "averages") if average else ("averages", "the last ones")
    return [f"the weights were {was}, are {now}"]


def _write(
    folder: Path,
    networks: Mapping[int, ReIDNetwork],
    cfg: CfgNode,
    model: str,
    record: dict[str, Any],
    classes: str,
    summaries: Mapping[int, NetworkSummary],
    card: CardText,
) -> None:
    run = RunFolder(folder)
    write_text(run.config_file, config_text(cfg))
    for index, network in networks.items():
        # Of one model, and each under its own name: checked when they are read.
        about = {"run": model, "step": str(record.get("steps", "")), "network": str(index), "average": "false"}
        about[MEMBERS_KEY] = members_text(networks)
        content = weights_bytes(network.state_dict(), {**header(cfg, index, classes), **about})
        write_bytes(run.weights_file(index), content)
    if record:
        write_json(run.result_file, record)
    first = min(networks)
    architecture, why = roboflow_architecture(cfg, first, networks[first])
    if architecture:
        write_json(folder / "reid_config.json", roboflow_config(cfg, architecture))
        backbone = networks[first].backbone.state_dict()
        tensors = {name: value.detach().cpu().contiguous() for name, value in backbone.items()}
        write_bytes(folder / "weights.safetensors", weights_bytes(tensors, {"format": "pt"}))
    write_text(folder / "README.md", model_card(cfg, record, summaries, model, card, without_roboflow=why))
