"""The networks of a config, new or trained before: building, finding and loading them, saying where they do not fit."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from reid_dml.config import all_options, get_option, per_network
from reid_dml.data.pipeline.augment import EVALUATION_OPTIONS
from reid_dml.errors import UserError, absolute
from reid_dml.models import ReIDNetwork
from reid_dml.models.build import network_seed, new_network
from reid_dml.models.exported import ExportedNetwork, is_exported, open_exported
from reid_dml.models.weights import load_exact, load_neck, load_partial, read_metadata, read_tensors
from reid_dml.runs.environment import run_of
from reid_dml.runs.folder import RunFolder
from reid_dml.runs.sources import (
    WEIGHTS_NAME,
    classes_hash,
    folder_members,
    head_classes,
    known_config,
    network_index,
    run_config,
)
from reid_dml.runs.weights import check_cohort
from reid_dml.text import small_number
from reid_dml.threads import cpu_threads, threads_of_one_batch

logger = logging.getLogger(__name__)

# Which networks of a cohort: `ensemble` (all of them), the index of one, or those of several: "0,2" or [0, 2].
NetworkChoice = str | int | Sequence[int]

# How an image becomes a network's input in evaluation; test-time flipping is a choice of the evaluation itself.
INPUT_OPTIONS = (*(key for key in EVALUATION_OPTIONS.values() if key.startswith("INPUT.")), "DATA.STORED_SIZE")
# Options of MODEL that leave a trained network's outputs alone, or show in the names of its weights. Any other one
# counts, so that a new one cannot be forgotten.
_NO_OUTPUT = ("WEIGHTS", "INIT", "INIT_STD", "BN_MOMENTUM", "DROPOUT", "NECK")
_FORMER_TENSORS = ("centers",)  # config version 0: the center loss's state, which lies in checkpoints only since


def build_network(cfg: CfgNode, index: int, num_classes: int, *, initialise: bool = True) -> ReIDNetwork:
    """Network `index` of `COHORT.NETWORKS`, on the CPU, from its own seed.

    Args:
        cfg: the config.
        index: position in `COHORT.NETWORKS`.
        num_classes: rows of the head.
        initialise: False skips the starting weights, for a network whose weights are about to be loaded.

    Raises:
        UserError: a name, size or starting weights that cannot be.
    """

    def own(key: str) -> Any:
        return per_network(cfg, key)[index]

    return new_network(
        cfg.COHORT.NETWORKS[index],
        num_classes,
        size=tuple(cfg.INPUT.SIZE),
        seed=network_seed(cfg.SEED, index),
        start=own("COHORT.INIT_WEIGHTS") if initialise else "",
        init_std=own("MODEL.INIT_STD") if own("MODEL.INIT") == "truncated_normal" else None,
        last_stride=cfg.MODEL.LAST_STRIDE,
        neck=cfg.MODEL.NECK,
        dropout=own("MODEL.DROPOUT"),
        recompute=cfg.TRAIN.RECOMPUTE,
        bn_momentum=own("MODEL.BN_MOMENTUM"),
        bn_eps=own("MODEL.BN_EPS"),
        what=f"network {index}",
    )


def uses_average(cfg: CfgNode) -> bool:
    """Whether evaluation takes the weight averages (`TEST.WEIGHTS`), not the last weights."""
    return cfg.TEST.WEIGHTS == "ema" or (cfg.TEST.WEIGHTS == "auto" and cfg.EMA.ENABLED)


def network_options(cfg: CfgNode) -> list[str]:
    """Options that change a network's outputs without changing the names and shapes of its weights."""
    return ["COHORT.NETWORKS", *(f"MODEL.{name}" for name in cfg.MODEL if name not in _NO_OUTPUT)]


def weights_files(cfg: CfgNode, path: str | os.PathLike[str]) -> dict[int, Path]:
    """Weight files by network index that `MODEL.WEIGHTS` stands for: a run's or model folder's networks, or one file.

    `TEST.WEIGHTS` chooses between a run's averaged and last weights. Raises `UserError` if there are none.
    """
    path = Path(path)
    if not str(path) or str(path) == ".":
        raise UserError("MODEL.WEIGHTS: not set; give --run and a run folder or one of its .safetensors files")
    if not path.is_dir():
        return {network_index(path): path}
    folder = RunFolder(path)
    size, members = len(cfg.COHORT.NETWORKS), folder_members(folder)
    ema = uses_average(cfg) and not members  # a model folder has the weights that evaluation takes, whichever these are
    files = {index: folder.weights_file(index, ema=ema) for index in members or range(size)}
    if (more := folder.weights_file(size, ema=ema)).is_file():
        raise UserError(f"{more}: the run has more networks than COHORT.NETWORKS of the config; use its own config")
    absent = [file for file in files.values() if not file.is_file()]
    if absent and ema and folder.weights_file(0).is_file():
        raise UserError(f"{absolute(absent[0])}: weights not found; the run kept no average, set TEST.WEIGHTS last")
    if absent:
        hint = (
            "its training has not ended, resume it"
            if folder.checkpoints.is_dir()
            else (
                "name a run folder of reid-dml train whose COHORT.NETWORKS are those of the config, or one "
                ".safetensors file"
            )
        )
        raise UserError(f"{absolute(absent[0])}: weights not found; {hint}")
    return files


def network_names(cfg: CfgNode, networks: Mapping[int, ReIDNetwork]) -> list[str]:
    """What tables call these networks, those of `load_networks`; an exported file may be several."""
    return [
        network.about["networks"] if isinstance(network, ExportedNetwork) else cfg.COHORT.NETWORKS[index]
        for index, network in networks.items()
    ]


def load_networks(cfg: CfgNode, path: str | os.PathLike[str], device: str) -> dict[int, ReIDNetwork]:
    """Trained networks in evaluation mode, by index; of an exported file the one network it is.

    A file that is of none of our runs gives its backbone, and with `MODEL.NECK bn` its neck; the head is all zero.

    Args:
        cfg: what they are built by.
        path: `MODEL.WEIGHTS`, see `weights_files`.
        device: where they go.

    Raises:
        UserError: no weights there, or weights that do not fit.
    """
    files = weights_files(cfg, path)
    if is_exported(first := next(iter(files.values()))):
        return {next(iter(files)): _exported_network(cfg, first, device)}
    for index, file in files.items():
        if index >= len(cfg.COHORT.NETWORKS):
            raise UserError(
                f"{file}: network {index} of a cohort, but COHORT.NETWORKS names {len(cfg.COHORT.NETWORKS)}"
            )
    run = RunFolder(first.parent)
    if named := WEIGHTS_NAME.fullmatch(first.name):
        check_cohort(files, run_of(run), ema=bool(named[2]))
        _warn_of_lengthening(run, first)
    _warn_of_differences(cfg, path, (*INPUT_OPTIONS, *network_options(cfg)), "used here")
    networks = {}
    for index, file in files.items():
        tensors = read_tensors(file)
        head = tensors.get("head.weight")
        if head is not None and head.ndim == 2 and any(name.startswith("backbone.") for name in tensors):
            network = build_network(cfg, index, head.shape[0], initialise=False)
            what = f"network {index} ({cfg.COHORT.NETWORKS[index]})"
            load_exact(network, file, what=what, without=_FORMER_TENSORS)
        else:
            network = _foreign_network(cfg, index, file)
        networks[index] = network.to(device).to(memory_format=torch.channels_last).eval()
    return networks


def _warn_of_lengthening(run: RunFolder, file: Path) -> None:
    """Say so where a run was lengthened and has not come to its new end."""
    step = small_number(read_metadata(file).get("step", ""))
    if step is None or not run.environment_file.is_file() or not run.config_file.is_file():
        return
    known = known_config(run.path)
    if known is not None and step < known.TRAIN.STEPS:
        warnings.warn(
            f"{file}: these weights are of step {step:,}; the run was lengthened to {known.TRAIN.STEPS:,} steps and "
            "has not ended: resume it for its last ones",
            stacklevel=3,
        )


def _exported_network(cfg: CfgNode, file: Path, device: str) -> Any:
    """The network of an exported file, which takes images as its own config prepares them and in no other way."""
    threads = cpu_threads() if device != "cpu" else threads_of_one_batch()
    network = open_exported(file, device=device, threads=threads)
    known = known_config(file)
    different = [key for key in INPUT_OPTIONS if known is not None and get_option(known, key) != get_option(cfg, key)]
    if different:
        raise UserError(
            f"{file}: takes images as it was exported, with {different[0]} {get_option(known, different[0])}, not "
            f"{get_option(cfg, different[0])}; use its own config: --run {file}"
        )
    return network


def _foreign_network(cfg: CfgNode, index: int, file: Path) -> ReIDNetwork:
    """A network of another toolkit's weights, for features: backbone and neck; its head knows one class only."""
    name = cfg.COHORT.NETWORKS[index]
    network = build_network(cfg, index, 1, initialise=False)
    for parameter in network.head.parameters():
        torch.nn.init.zeros_(parameter)
    report = load_partial(network.backbone, file, what=f"network {index} ({name}) backbone")
    if lacking := [*report.missing, *report.mismatched]:
        raise UserError(
            f"{file}: does not give the whole backbone of {name}: {len(lacking)} tensors are missing or of another "
            f"shape ({lacking[0]}{', ...' if len(lacking) > 1 else ''}); name its own network in COHORT.NETWORKS"
        )
    logger.info("%s", report)
    if cfg.MODEL.NECK == "bn":
        prefix = load_neck(network.neck, file)
        logger.info("network %d (%s) neck: %s* of %s", index, name, prefix, file)
    return network


def load_teachers(cfg: CfgNode, class_names: Sequence[str], device: str) -> list[ReIDNetwork]:
    """The frozen networks of `COHORT.TEACHERS`, each built as its own run's config says.

    Args:
        cfg: the students' config.
        class_names: of the rows of the students' heads (see `TrainingData.class_names`).
        device: where the teachers are to be.

    Raises:
        UserError: a teacher that is not there, or whose head has rows of other classes.
    """
    teachers: list[ReIDNetwork] = []
    for path in cfg.COHORT.TEACHERS:
        if not Path(path).exists():
            raise UserError(
                f"COHORT.TEACHERS: {absolute(path)} not found; train the teacher to its end first, or name another run "
                "folder or weights file"
            )
        if is_exported(path):
            raise UserError(
                f"COHORT.TEACHERS: {path}: an exported file gives features and no classes; name the run it is of"
            )
        if not (classes := head_classes(path)):
            RunFolder.of(path).class_names()  # says that it is not there
        if classes != classes_hash(class_names):
            raise UserError(
                f"{path}: the teacher was trained on other persons or classes than this data set's "
                "training split; COHORT.TEACHERS needs networks of the same classes"
            )
        _warn_of_differences(cfg, path, INPUT_OPTIONS, "shown to its students")
        networks = load_networks(run_config(path), path, device)
        teachers += [network.requires_grad_(False) for network in networks.values()]
    return teachers


def _warn_of_differences(cfg: CfgNode, path: str | os.PathLike[str], keys: Sequence[str], how: str) -> None:
    """Say so where images or networks are treated otherwise than in the run: no weight would be missing."""
    try:
        known = known_config(path)
    except UserError as refusal:
        warnings.warn(f"{refusal}: cannot tell how these weights were trained", stacklevel=3)
        return
    if known is None:
        return
    if different := differences(known, cfg, keys):
        warnings.warn(f"{path}: trained otherwise than {how}: {'; '.join(different)}", stacklevel=3)


def differences(before: CfgNode, now: CfgNode, keys: Sequence[str]) -> list[str]:
    """Options that two configs do not have in common, in words.

    Args:
        before, now: the configs; the words say which value was and which is.
        keys: the options to compare.
    """
    compared = [(key, _of_each(before, key), _of_each(now, key)) for key in keys]
    return [f"{key} was {was!r}, is {value!r}" for key, was, value in compared if was != value]


def _of_each(cfg: CfgNode, key: str) -> Any:
    """An option's value, of one of each network a value each: [x] for both networks is the same as [x, x]."""
    return per_network(cfg, key) if all_options()[key].per_network else get_option(cfg, key)


def choose_networks(
    networks: Mapping[int, ReIDNetwork], choice: NetworkChoice, path: str | os.PathLike[str]
) -> Mapping[int, ReIDNetwork]:
    """All networks, one, or some.

    Args:
        networks: by index.
        choice: see `NetworkChoice`.
        path: where they came from, for messages.

    Raises:
        UserError: no network of such an index, or one that is named twice.
    """
    if choice == "ensemble":
        return networks
    for network in networks.values():
        if isinstance(network, ExportedNetwork) and " " in network.about["indices"]:
            raise UserError(f"{path}: is one graph of several networks; leave out --network, or export fewer of them")
    words = choice.split(",") if isinstance(choice, str) else choice if isinstance(choice, Sequence) else [choice]
    chosen = [small_number(str(word).strip()) for word in words]
    for index, word in zip(chosen, words, strict=True):
        if index is None or index not in networks:
            indices = ", ".join(map(str, sorted(networks)))
            raise UserError(f"{path}: network {word!r:.40} is neither `ensemble` nor one of {indices}")
    if not chosen or len(set(chosen)) < len(chosen):
        raise UserError(f"{path}: networks {choice!r:.40}: name each once, such as 0,1")
    return {index: network for index, network in networks.items() if index in chosen}
