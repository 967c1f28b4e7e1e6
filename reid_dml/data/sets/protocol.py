"""Options of published data sets that can be tested in several ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from yacs.config import CfgNode

from reid_dml.data.sets import DATA_SETS, read_names
from reid_dml.options import Component, Warn, option, options_of

SECTION = "PROTOCOL"
ATTRIBUTES = (
    *("age", "backpack", "bag", "clothes", "down", "downcolour", "gender", "hair", "handbag", "hat", "up", "upcolour"),
)


@dataclass(frozen=True)
class ProtocolOptions(Component):
    """Which of its splits and rules a published data set is read with; each option names the sets that it concerns."""

    split: int = option(
        0, "viper, cuhk01, ilids, prid2011, prcc (one image a person): which random draw; grid: 0 to 9, given", least=0
    )
    swap_views: bool = option(False, "viper, cuhk01: the second view searches in the first")
    validation: str = option(
        "train", "msmt17: train (its validation images, too: 32,621) | leave_out", choices=("train", "leave_out")
    )
    clothes: str = option(
        "changed",
        "ltcc, prcc: changed (matches wear other clothes than the query) | same (prcc: queries of camera B) | any",
        choices=("changed", "same", "any"),
    )
    single_shot: bool = option(False, "prcc: one drawn gallery image of each person, as in its paper; else all")
    attribute: str = option("gender", "market1501_attributes: what is learnt", choices=ATTRIBUTES)

    def advise(self, cfg: CfgNode, warn: Warn) -> None:
        read = set(read_names(cfg))
        for key, found in options_of(type(self)).items():
            if cfg.PROTOCOL[key] != found.default and not read & (concerned := _concerned(key)):
                warn(
                    f"PROTOCOL.{key}",
                    f"has no effect on {', '.join(sorted(read))}; it is of {', '.join(sorted(concerned))}",
                )


def _concerned(key: str) -> set[str]:
    """The data sets that an option concerns."""
    return {name for name, entry in DATA_SETS.entries().items() if key in entry.protocol}


def unusual(protocol: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The options that concern one of these data sets and are not at their default, by their names in lower case.

    Args:
        protocol: `PROTOCOL` of a config or of a record, or a part of it.
        names: of data sets.
    """
    read, values = set(names), {key.upper(): value for key, value in protocol.items()}
    return {
        key.lower(): values[key]
        for key, found in options_of(ProtocolOptions).items()
        if key in values and values[key] != found.default and read & _concerned(key)
    }


def with_protocol(name: str, protocol: Mapping[str, Any]) -> str:
    """What tables call a data set: its name, and behind it how it was read where that is not the default."""
    words = [key if value is True else f"{key} {value}" for key, value in unusual(protocol, [name]).items()]
    return f"{name} ({', '.join(words)})" if words else name
