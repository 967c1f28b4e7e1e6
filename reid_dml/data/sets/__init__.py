"""The data sets, one file each. To add one: a file here whose function is decorated with `@register_data("name")`."""

from __future__ import annotations

from collections.abc import Callable

from yacs.config import CfgNode

from reid_dml.data.records import ReIDData
from reid_dml.registry import Registry

DATA_SETS: Registry[Callable[[CfgNode], ReIDData]] = Registry("DATA.NAME", __name__)
register_data = DATA_SETS.register


def check_name(cfg: CfgNode) -> None:
    """Raise `UserError` if `DATA.NAME` is no data set."""
    DATA_SETS.get(cfg.DATA.NAME)


def load_data(cfg: CfgNode) -> ReIDData:
    """The data set that `DATA.NAME` names, checked for what every experiment needs."""
    return DATA_SETS.get(cfg.DATA.NAME)(cfg)
