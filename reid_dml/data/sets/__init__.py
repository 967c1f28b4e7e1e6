"""The data sets, one file each. To add one: a file here with a function decorated with `@register_data`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.broken import usable_images
from reid_dml.data.records import ClassificationData, ReIDData
from reid_dml.data.semi_supervised import hide_labels
from reid_dml.errors import UserError
from reid_dml.options import Component
from reid_dml.registry import Registry

Load = Callable[[CfgNode], ReIDData] | Callable[[CfgNode], ClassificationData]


@dataclass(frozen=True)
class DataEntry:
    """How to read a data set, and the task its networks are judged by (a name of `tasks/task.py`)."""

    load: Load
    task: str
    section: str = ""  # of the config, where the set has options of its own
    options: type[Component] | None = None  # the dataclass of these options


DATA_SETS: Registry[DataEntry] = Registry("DATA.NAME", __name__)


def register_data(
    name: str, *, task: str, section: str = "", options: type[Component] | None = None
) -> Callable[[Load], Load]:
    """Make a function from a config to a checked data set known under a name in `DATA.NAME`.

    Args:
        name: in `DATA.NAME`.
        task: its networks are judged by, a name of `tasks/task.py`.
        section: of the config, where the data set has options of its own.
        options: the dataclass of these options (see `reid_dml.options`).
    """

    def register(load: Load) -> Load:
        DATA_SETS.register(name)(DataEntry(load, task, section, options))
        return load

    return register


def own_name(root: str) -> str:
    """Name of somebody's own data set at this folder or file; not that of a published one, whatever the folder's is."""
    path = Path(root).resolve()
    return f"{path.stem if path.is_file() else path.name} (own)"


def task_of(cfg: CfgNode) -> str:
    """The task of the data set that `DATA.NAME` names. Raises `UserError` if there is no such data set."""
    return DATA_SETS.get(cfg.DATA.NAME).task


def load_data(cfg: CfgNode, *, training: bool = True) -> ReIDData | ClassificationData:
    """The data set that `DATA.NAME` names, checked, with the labels that `SEMI` leaves it.

    Args:
        cfg: the config.
        training: False: its training images are not needed, and there may be none.
    """
    data = usable_images(cfg, DATA_SETS.get(cfg.DATA.NAME).load(cfg))
    if not data.train:
        if training:
            missing = data.missing or f"{data.root}: the train split is empty"
            raise UserError(f"{missing}; only a test with TEST.TRAIN_ACCURACY False needs no images to train on")
        return data
    return hide_labels(cfg, data)
