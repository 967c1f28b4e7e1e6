"""All options, put together from their owners: by section, by dotted key, and as the tree of defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from yacs.config import CfgNode

from reid_dml.config import sections
from reid_dml.data.pipeline.samplers import SAMPLERS, SamplerOptions
from reid_dml.data.sets import DATA_SETS, read_names
from reid_dml.engine.optimizers import OPTIMIZERS, OptimizerOptions
from reid_dml.engine.optimizers.decay import WeightDecay
from reid_dml.engine.schedules import SCHEDULES
from reid_dml.engine.schedules.schedule import ScheduleOptions
from reid_dml.errors import UserError
from reid_dml.mutual.terms import active_terms, term_kinds
from reid_dml.mutual.updates import UPDATE_RULES, UpdateOptions
from reid_dml.options import Component, Option, from_section, options_of
from reid_dml.registry import Registry


@dataclass(frozen=True)
class Section:
    """A section of the config; an empty name stands for the keys at the top.

    Attributes:
        name: of the section.
        owners: dataclasses whose options it always has.
        choice: the registry that one component is chosen from by name; the options of all of them are here.
        terms: whether it holds the options of all loss terms, each of which its own options switch on.
    """

    name: str
    owners: Sequence[type] = ()
    choice: Registry[Any] | None = None
    terms: bool = False

    def options(self) -> dict[str, Option]:
        """Its options by key inside it.

        Raises `UserError` for an option of two loss terms, or of two components that give it different defaults.
        """
        kinds = self.choice.entries().values() if self.choice else term_kinds() if self.terms else ()
        found: dict[str, Option] = {}
        owners: dict[str, type] = {}
        for owner in (*self.owners, *kinds):
            for key, option in options_of(owner).items():
                first = owners.setdefault(key, owner)
                both = f"{self.name}.{key}: is an option of {_name(first)} and of {_name(owner)}"
                if self.terms and key in found:
                    raise UserError(f"{both}; give one of the loss terms another prefix")
                if found.setdefault(key, option).default != option.default:
                    raise UserError(f"{both}, with two defaults; name one otherwise, or give both the same default")
        return found

    def owned_by(self, key: str) -> list[str]:
        """Names of the components to choose from that have this option; empty for an option of the section itself."""
        names = self.choice.entries() if self.choice else {}
        return (
            []
            if key in {k for owner in self.owners for k in options_of(owner)}
            else [name for name, kind in names.items() if key in options_of(kind)]
        )

    def chosen(self, cfg: CfgNode) -> list[Component]:
        """The components that a config chooses here, with their options."""
        if self.choice is not None:
            name = get_option(cfg, self.choice.option)
            return [from_section(self.choice.get(name), cfg[self.name])]
        return list(active_terms(cfg[self.name])) if self.terms else []

    def idle(self, cfg: CfgNode) -> list[tuple[str, str]]:
        """Options that were changed but belong to components that are not chosen: (key, why it has no effect)."""
        found = []
        for key, option in self.options().items():
            owners = sorted(self.owned_by(key))
            if self.choice and owners and cfg[self.name][key] != option.default:
                name = get_option(cfg, self.choice.option)
                if name not in owners:
                    found.append(
                        (key, f"has no effect under {self.choice.option} {name}; it is of {', '.join(owners)}")
                    )
        if self.terms:
            active = {type(term) for term in active_terms(cfg[self.name])}
            for kind in term_kinds():
                switch, options = f"{kind.prefix}{kind.switch}", options_of(kind)
                if kind in active or switch not in options:
                    continue
                values, off = cfg[self.name], cfg[self.name][switch]
                why = f"has no effect while {kind.key()} is {f'{off:g}' if isinstance(off, float) else off}"
                found += [(k, why) for k, option in options.items() if k != switch and values[k] != option.default]
        return [(f"{self.name}.{key}", why) for key, why in found]


def _name(owner: type) -> str:
    return f"{owner.__module__}.{owner.__qualname__}"


_SECTIONS = (
    Section("", [sections.Run]),
    Section("DATA", [sections.Data]),
    Section("SEMI", [sections.Semi]),
    Section("INPUT", [sections.Input]),
    Section("SAMPLER", [SamplerOptions], SAMPLERS),
    Section("COHORT", [sections.CohortOptions]),
    Section("MODEL", [sections.Model]),
    Section("OBJECTIVE", terms=True),
    Section("UPDATE", [UpdateOptions], UPDATE_RULES),
    Section("OPTIM", [OptimizerOptions, WeightDecay], OPTIMIZERS),
    Section("SCHEDULE", [ScheduleOptions], SCHEDULES),
    Section("EMA", [sections.Ema]),
    Section("TRAIN", [sections.Train]),
    Section("LOG", [sections.Log]),
    Section("TEST", [sections.Test]),
)


def all_sections() -> list[Section]:
    """The sections, those of data sets with options of their own behind DATA.

    Asked anew each time: components may be registered until a config is loaded.
    """
    entries = DATA_SETS.entries().values()
    own = {entry.section: entry.options for entry in entries if entry.options is not None}  # several may share one
    return [*_SECTIONS[:2], *(Section(name, [options]) for name, options in sorted(own.items())), *_SECTIONS[2:]]


def all_options() -> dict[str, Option]:
    """Every option by dotted key."""
    return {
        f"{section.name}.{key}" if section.name else key: option
        for section in all_sections()
        for key, option in section.options().items()
    }


def default_config() -> CfgNode:
    """A fresh, unfrozen tree of every option at its default."""
    cfg = CfgNode()
    for key, option in all_options().items():
        *parents, name = key.split(".")
        node = cfg
        for parent in parents:
            node = node.setdefault(parent, CfgNode())
        node[name] = list(option.default) if isinstance(option.default, list) else option.default
    return cfg


def chosen_components(cfg: CfgNode) -> list[Component]:
    """What a config chooses, with its options: data set, sampler, loss terms, update rule, optimiser, schedule."""
    sets = [DATA_SETS.get(name) for name in read_names(cfg)]
    sections = {data.section: data.options for data in sets if data.options is not None}
    own = [from_section(options, cfg[section]) for section, options in sections.items()]
    return [*own, *(component for section in _SECTIONS for component in section.chosen(cfg))]


def get_option(cfg: CfgNode, key: str) -> Any:
    """The value at a dotted key."""
    for part in key.split("."):
        cfg = cfg[part]
    return cfg
