"""The data sets, one file each. To add one: a file here whose function is decorated with `@register_data`."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from yacs.config import CfgNode

from reid_dml.data.records import ReIDData
from reid_dml.errors import UserError

Loader = Callable[[CfgNode], ReIDData]
DATA_SETS: dict[str, Loader] = {}


def register_data(name: str) -> Callable[[Loader], Loader]:
    """Make a function from the config to a `ReIDData` known as `DATA.NAME: <name>`."""

    def register(loader: Loader) -> Loader:
        DATA_SETS[name] = loader
        return loader

    return register


def load_data(cfg: CfgNode) -> ReIDData:
    """The data set that `DATA.NAME` names, checked for what every experiment needs."""
    if cfg.DATA.NAME not in DATA_SETS:
        raise UserError(f"DATA.NAME: {cfg.DATA.NAME!r} is not one of {', '.join(DATA_SETS)}")
    return DATA_SETS[cfg.DATA.NAME](cfg)


for _module in ("market1501", "custom", "synthetic"):
    importlib.import_module(f"{__name__}.{_module}")
