"""The data sets, one file each. To add one: a file here with a function decorated with `@register_data`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.broken import usable_images
from reid_dml.data.joined import join_training, repeated, with_tests_of
from reid_dml.data.records import ClassificationData, ReIDData
from reid_dml.data.semi_supervised import hide_labels
from reid_dml.errors import UserError, absolute
from reid_dml.options import Component
from reid_dml.paths import expand_path
from reid_dml.registry import Registry

DEFAULT_ROOT = "datasets"  # of DATA.ROOT
TASKS = ("retrieval", "classification")  # see `tasks.task.TASKS`
_OWN = " (own)"  # at the end of names
_SECTION = re.compile(r"[A-Z][A-Z0-9_]*")

Load = Callable[[CfgNode], ReIDData] | Callable[[CfgNode], ClassificationData]


@dataclass(frozen=True)
class DataEntry:
    """How to read a data set, and what else has to be known of it: see `register_data`."""

    load: Load
    task: str
    section: str = ""
    options: type[Component] | None = None
    protocol: Sequence[str] = ()
    own_root: bool = False
    all_folders: bool = False
    terms: str = ""
    research_only: bool = False


DATA_SETS: Registry[DataEntry] = Registry("DATA.NAME", __name__)


def register_data(
    name: str,
    *,
    task: str,
    section: str = "",
    options: type[Component] | None = None,
    protocol: Sequence[str] = (),
    own_root: bool = False,
    all_folders: bool = False,
    terms: str = "",
    research_only: bool = False,
) -> Callable[[Load], Load]:
    """Make a function from a config to a checked data set known under a name in `DATA.NAME`.

    Args:
        name: in `DATA.NAME`.
        task: its networks are judged by, one of `TASKS`.
        section: of the config, where the data set has options of its own.
        options: the dataclass of these options (see `reid_dml.options`).
        protocol: options of `PROTOCOL` that concern it, where that is its section (`SPLIT`).
        own_root: whether `DATA.ROOT` is the data set itself, so that no other one lies in it.
        all_folders: whether it takes every folder of its own root for a part of it, so that nothing else may lie there.
        terms: a sentence on what may be done with it, for model cards; empty: not known.
        research_only: whether these terms leave open what weights trained on it may be used for.

    Raises:
        ValueError: a name that is taken, an unknown task, or options that cannot be a section of the config.
    """

    def register(load: Load) -> Load:
        if why := _unfit(task, section, options):
            raise ValueError(f"DATA.NAME: {name!r} cannot be registered: {why}")
        DATA_SETS.register(name)(
            DataEntry(load, task, section, options, protocol, own_root, all_folders, terms, research_only)
        )
        return load

    return register


def _unfit(task: str, section: str, options: type[Component] | None) -> str:
    """Why a data set cannot be registered so; empty if it can."""
    if task not in TASKS:
        return f"task {task!r} is not one of {', '.join(TASKS)}"
    if bool(section) != (options is not None):
        return "section and options belong together: give both, or neither"
    if options is None:
        return ""
    if not _SECTION.fullmatch(section):
        return f"section {section!r} is no name of a section; write it in capitals, such as OWN"
    if why := options.unfit():
        return f"{options.__module__}.{options.__qualname__} {why}"
    others = {entry.options for entry in DATA_SETS.registered().values() if entry.section == section} - {options}
    return f"another data set has a section {section} with other options; call it otherwise" if others else ""


def own_name(root: str) -> str:
    """Name of somebody's own data set at this folder or file; not that of a published one, whatever the folder's is."""
    path = Path(root).resolve()
    return f"{path.stem if path.is_file() else path.name}{_OWN}"


def registered_as(name: str) -> DataEntry | None:
    """The entry behind the name of a data set in a record; None for one's own images and where it is not known.

    Such a name may say more than `DATA.NAME` does: `market1501_gender`, `cifar10 (unofficial split)`.
    """
    entries = {} if name.endswith(_OWN) else DATA_SETS.entries()
    found = [known for known in entries if name == known or name.startswith((f"{known}_", f"{known} "))]
    return entries[max(found, key=len)] if found else None


def task_of(cfg: CfgNode) -> str:
    """The task of the data set that `DATA.NAME` names, or those of `DATA.TRAIN`.

    Raises `UserError` if there is no such data set.
    """
    return DATA_SETS.get(split_entry(first_entry(cfg))[0]).task


def split_entry(entry: str) -> tuple[str, str]:
    """Name and root of an entry of `DATA.TRAIN` or `DATA.TEST`, `NAME` or `NAME=ROOT`; no root: that of the config."""
    name, _, root = entry.partition("=")
    return name.strip(), root.strip()


def trained_entries(cfg: CfgNode) -> list[str]:
    """The data sets that are trained on."""
    return list(cfg.DATA.TRAIN) or [cfg.DATA.NAME]


def read_names(cfg: CfgNode) -> list[str]:
    """`DATA.NAME` of every data set that is read: those that are trained on, those that are tested on."""
    return [split_entry(entry)[0] for entry in (*trained_entries(cfg), *cfg.DATA.TEST)]


def first_entry(cfg: CfgNode) -> str:
    """The data set that is trained on, or the first of several."""
    return trained_entries(cfg)[0]


def tested_entry(cfg: CfgNode) -> str:
    """The data set that is tested on, or the first of several."""
    return cfg.DATA.TEST[0] if cfg.DATA.TEST else first_entry(cfg)


def check_apart(cfg: CfgNode, folder: Path) -> None:
    """Raise `UserError` for a run's folder inside a data set that would take it for a part of itself from then on."""
    for entry in (*trained_entries(cfg), *cfg.DATA.TEST):
        if DATA_SETS.get(split_entry(entry)[0]).all_folders:
            root = Path(alone(cfg, entry).DATA.ROOT)
            if folder.resolve().is_relative_to(root.resolve()):
                raise UserError(
                    f"OUTPUT_DIR: {folder}: lies in the data set {absolute(root)}, whose folders are all read as "
                    "images of it; set it to a folder outside"
                )


def alone(cfg: CfgNode, entry: str) -> CfgNode:
    """The config of one data set by itself, as if `DATA.NAME` and `DATA.ROOT` named it."""
    name, root = split_entry(entry)
    cfg, before = cfg.clone(), cfg.DATA.NAME
    cfg.defrost()
    cfg.DATA.NAME, cfg.DATA.TRAIN, cfg.DATA.TEST = name, [], []
    if root:
        cfg.DATA.ROOT = expand_path(root, f"DATA: {entry}")
    elif name != before and DATA_SETS.get(before).own_root:
        cfg.DATA.ROOT = DEFAULT_ROOT
    cfg.freeze()
    return cfg


def _read(cfg: CfgNode, *, training: bool) -> ReIDData | ClassificationData:
    """What `DATA` names: one data set, or training images of some and the test images of another."""
    if not cfg.DATA.TRAIN and not cfg.DATA.TEST:
        return DATA_SETS.get(cfg.DATA.NAME).load(cfg)
    entries, test = trained_entries(cfg), tested_entry(cfg)
    found = {entry: _load_persons(cfg, entry) for entry in dict.fromkeys([*(entries if training else ()), test])}
    if not training:
        return found[test]
    for entry in entries:
        if not found[entry].train:
            raise UserError(f"DATA.TRAIN: {entry}: {found[entry].missing or 'the train split is empty'}")
    if twice := repeated(found[entry].name for entry in entries):
        raise UserError(f"DATA.TRAIN: two data sets are called {twice!r}; rename the folder of one")
    return with_tests_of(join_training([found[entry] for entry in entries]), found[test])


def _load_persons(cfg: CfgNode, entry: str) -> ReIDData:
    data = DATA_SETS.get(split_entry(entry)[0]).load(alone(cfg, entry))
    if not isinstance(data, ReIDData):
        raise UserError(f"DATA: {entry}: is a set of classes; only persons can be trained on or tested on together")
    return data


def load_data(cfg: CfgNode, *, training: bool = True) -> ReIDData | ClassificationData:
    """The data set that `DATA` names, checked, with the labels that `SEMI` leaves it.

    Args:
        cfg: the config.
        training: False: its training images are not needed, and there may be none.
    """
    data = usable_images(cfg, _read(cfg, training=training))
    if not data.train:
        if training:
            missing = data.missing or f"{data.root}: the train split is empty"
            raise UserError(f"{missing}; only a test with TEST.TRAIN_ACCURACY False needs no images to train on")
        return data
    return hide_labels(cfg, data)
