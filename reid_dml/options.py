"""Options as fields of the dataclass that owns them: type, default, meaning and range in one line.

    @dataclass(frozen=True)
    class SGD:
        momentum: float = option(0.9, "share of the last update", least=0)

`reid_dml.config` puts the options of all components together into one tree, `OPTIM.MOMENTUM` and so on: the key of a
field is its name in capitals, behind the owner's `prefix` if it has one.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from yacs.config import CfgNode

from reid_dml.registry import own_parts

Owner = TypeVar("Owner")
Refuse = Callable[[str, str], None]  # of a key, and why its value will not do; raises `UserError`
Warn = Callable[[str, str], None]  # of a key, and why its value has no effect

_LONGEST = 10_000  # values of a list
_LARGEST_FLOAT, _SMALLEST_FLOAT = 3.4e38, 1.18e-38  # of float32, with all its digits


_LONGEST_SHOWN = 240  # characters


class _Short(reprlib.Repr):
    """Python's own shortening, with a whole number of thousands of digits, too."""

    def repr_int(self, x: int, level: int) -> str:
        if abs(x) < 10**40:
            return repr(x)
        return f"a whole number of about {int(x.bit_length() * math.log10(2)) + 1:,} digits"


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = 120
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 8
_SHORT.maxlevel = 3
# How messages call the types of options.
TYPES = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}


@dataclass(frozen=True)
class Option:
    """One option: what it is by default, what it means, and which values it may have.

    Attributes:
        default: a bool, int, float, str, or a list of one of these.
        help: its meaning in one line.
        choices: the only values, or a function that gives them; empty: any.
        above, below: bounds that the value itself may not reach.
        least, most: bounds that it may reach.
        length: of a list whose length is fixed; 0: any.
        items: type of the elements of a list that may be empty.
        per_network: a list of one value for all networks of the cohort, or one for each.
        path: names of files or folders, in which ~ and $VARIABLES are expanded.
    """

    default: Any
    help: str
    choices: tuple[str, ...] | Callable[[], list[str]] = ()
    above: float | None = None
    below: float | None = None
    least: float | None = None
    most: float | None = None
    length: int = 0
    items: type | None = None
    per_network: bool = False
    path: bool = False

    @property
    def kind(self) -> type:
        """Type of the value, or of the elements of a list."""
        if isinstance(self.default, list):
            return self.items or type(self.default[0])
        return type(self.default)

    def allowed(self) -> list[str]:
        """The only values it may have; empty where any will do."""
        return sorted(self.choices()) if callable(self.choices) else list(self.choices)

    def problem(self, value: Any) -> str:
        """What is wrong with a value of the right type, to be read behind it; empty if nothing is."""
        numbers = value if isinstance(value, list) else [value]
        if len(numbers) > _LONGEST:
            return f"has {len(numbers):,} values, more than {_LONGEST:,}"
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            return "must be a finite number"
        if why := next((why for number in numbers if (why := _beyond_the_type(number))), ""):
            return why
        if (allowed := self.allowed()) and (foreign := [each for each in numbers if each not in allowed]):
            near = difflib.get_close_matches(str(foreign[0])[:100], allowed, 1)
            which = f"holds {shown(foreign[0])}, which " if isinstance(value, list) else ""
            why = f"{which}is not one of {', '.join(allowed)}" + (f"; did you mean {near[0]!r}?" if near else "")
            return why + (own_parts(str(foreign[0]), near) if callable(self.choices) else "")
        if self.length and len(value) != self.length:
            return f"needs {self.length} values"
        return next((why for number in numbers if (why := self._out_of_range(number))), "")

    def _out_of_range(self, number: Any) -> str:
        within = (
            (self.above is None or number > self.above)
            and (self.least is None or number >= self.least)
            and (self.below is None or number < self.below)
            and (self.most is None or number <= self.most)
        )
        if within:
            return ""
        low = self.least if self.above is None else self.above
        high = self.most if self.below is None else self.below
        if low is not None and high is not None:
            excluded = " and ".join(f"{bound:g}" for bound in (self.above, self.below) if bound is not None)
            return f"must lie between {low:g} and {high:g}" + (f", {excluded} excluded" if excluded else "")
        if self.above is not None:
            return f"must be greater than {self.above:g}"
        if self.least is not None:
            return "must not be negative" if self.least == 0 else f"must be at least {self.least:g}"
        return f"must be below {self.below:g}" if self.below is not None else f"must be at most {self.most:,.0f}"

    def values(self) -> str:
        """The values it may have in words, for a page of all options."""
        if allowed := self.allowed():
            return ("1 or K of " if self.per_network else "") + ", ".join(allowed)
        name = TYPES[self.kind]
        if isinstance(self.default, list):
            count = "1 or K" if self.per_network else self.length or "some"
            name = f"{count} x {name.removeprefix('a ')}"
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (("above", self.above), ("from", self.least), ("to", self.most), ("below", self.below))
            if bound is not None
        ]
        return " ".join([name, *bounds])


def shown(value: Any) -> str:
    """A value in a message: as Python writes it, but never long."""
    text = _SHORT.repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _beyond_the_type(value: Any) -> str:
    """Why a number cannot be computed with: whole numbers have 64 bits, others go through float32."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "is too large: whole numbers have 64 bits"
    if isinstance(value, float) and abs(value) > _LARGEST_FLOAT:
        return f"is too large: numbers are at most {_LARGEST_FLOAT:.2g}"
    if isinstance(value, float) and 0 < abs(value) < _SMALLEST_FLOAT:
        return f"is too small: below {_SMALLEST_FLOAT:.2g} float32 loses its digits; take 0 or a larger number"
    return ""


class Component:
    """Base of what owns options: a frozen dataclass whose fields are made with `option`."""

    prefix: ClassVar[str] = ""  # of its keys inside its section

    @classmethod
    def unfit(cls) -> str:
        """Why the class cannot be registered, to be read behind its name; empty if it can."""
        if lacking := sorted(getattr(cls, "__abstractmethods__", ())):
            return f"lacks {', '.join(lacking)}"
        bare = any(isinstance(value, dataclasses.Field) for value in vars(cls).values())
        if bare or not dataclasses.is_dataclass(cls):
            return "is no dataclass; put @dataclass(frozen=True) between the decorator that registers it and the class"
        for name, kind in ((n, k) for base in cls.__mro__ for n, k in inspect.get_annotations(base).items()):
            if str(kind).removeprefix("typing.").startswith("ClassVar") and not hasattr(cls, name):
                return f"lacks {name}; write {name}: {kind} = ..."
        for entry in dataclasses.fields(cls):
            given = entry.default is not dataclasses.MISSING or entry.default_factory is not dataclasses.MISSING
            if "option" not in entry.metadata and not given:
                return f"has no value for {entry.name}; write {entry.name}: {entry.type} = option(default, meaning)"
        return ""

    def check(self, cfg: CfgNode, refuse: Refuse) -> None:
        """Refuse options that do not go together (`refuse(key, why)`), once it is what the config chooses.

        Values out of an option's own range have been refused before. `cfg` is the whole config, for options of others.
        """

    def advise(self, cfg: CfgNode, warn: Warn) -> None:
        """Warn (`warn(key, why)`) of options that training would go through with, but to no effect.

        Asked once, when a training starts. `cfg` is the whole config.
        """


def option(default: Any, help: str, **rules: Any) -> Any:
    """A dataclass field that is an option; `rules` are further attributes of `Option`."""
    found = Option(default, help, **rules)
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"option": found})
    return field(default=default, metadata={"option": found})


def options_of(owner: type) -> dict[str, Option]:
    """The options that a dataclass owns, by key inside its section, in the order of the fields."""
    prefix = getattr(owner, "prefix", "")  # plain dataclasses may hold options, too
    return {
        f"{prefix}{entry.name.upper()}": entry.metadata["option"]
        for entry in dataclasses.fields(owner)
        if "option" in entry.metadata
    }


def option_names(owner: type) -> list[str]:
    """The fields of a dataclass that are options."""
    return [entry.name for entry in dataclasses.fields(owner) if "option" in entry.metadata]


def from_section(owner: type[Owner], section: Mapping[str, Any]) -> Owner:
    """An owner with its options' values from a section of a config, such as `cfg.OPTIM`."""
    prefix = getattr(owner, "prefix", "")
    return owner(**{name: section[f"{prefix}{name.upper()}"] for name in option_names(owner)})
