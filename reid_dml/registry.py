"""Things known by a name in the config: one decorator to add one, one clear line for a name nobody has."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from reid_dml.errors import UserError

Entry = TypeVar("Entry")
_ALIKE = 0.8  # similarity from which on an unknown name is a slip of the pen
_OWN_MODULES: dict[str, None] = {}  # what `IMPORTS` has named in this process, in order


class Registry(Generic[Entry]):
    """Names and what they stand for, for one option of the config."""

    def __init__(self, option: str, package: str, base: type | None = None) -> None:
        """A registry without entries.

        Args:
            option: the key in the config.
            package: every module of it is imported before the first look-up, so that a file there is all it takes to
                add an entry. Entries may also be registered from outside, before the config is loaded: by a module
                that `IMPORTS` names.
            base: of the classes that are registered; None: they are no classes, or of no common one.
        """
        self.option, self.package, self.base = option, package, base
        self._entries: dict[str, Entry] = {}
        self._complete = False  # whether the package's modules have been imported

    def register(self, *names: str) -> Callable[[Entry], Entry]:
        """Decorator that makes a function or class known under one or several names.

        Raises:
            ValueError: no name, one that is taken already, or a class that cannot be what it is registered as (its
                `unfit` says why); nothing is registered then.
        """
        if not names or not all(isinstance(name, str) and name for name in names):
            given = ", ".join(map(_where, names))
            raise ValueError(f"{self.option}: {given or 'a part'} is registered without a name; give one in brackets")

        def add(entry: Entry) -> Entry:
            if not f"{_where(entry)}.".startswith(f"{self.package}."):
                self.names()  # those of the library come first: a name of theirs is taken
            for name in names:
                if name in self._entries:
                    raise ValueError(
                        f"{self.option}: {name!r} is registered already, by {_where(self._entries[name])}; give "
                        f"{_where(entry)} another name"
                    )
            if why := self._unfit(entry):
                raise ValueError(f"{self.option}: {names[0]!r} cannot be registered: {_where(entry)} {why}")
            self._entries.update(dict.fromkeys(names, entry))
            return entry

        return add

    def _unfit(self, entry: Entry) -> str:
        """Why it cannot be registered, to be read behind its name; empty if it can."""
        if self.base and not (isinstance(entry, type) and issubclass(entry, self.base)):
            return f"is no class made from {self.base.__name__}"
        return str(getattr(entry, "unfit", str)())

    def names(self) -> list[str]:
        """All names, in the order of registration."""
        if not self._complete:
            for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
                importlib.import_module(f"{self.package}.{module.name}")
            self._complete = True
        return list(self._entries)

    def registered(self) -> dict[str, Entry]:
        """What has been registered so far, by name: nothing is imported."""
        return dict(self._entries)

    def entries(self) -> dict[str, Entry]:
        """Everything registered, by name."""
        return {name: self._entries[name] for name in self.names()}

    def get(self, name: str) -> Entry:
        """What a name stands for. Raises `UserError` with the nearest name if there is none."""
        names = self.names()
        if name not in self._entries:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"{self.option}: {name!r} is not one of {', '.join(names)}{hint}{own_parts(name, near)}")
        return self._entries[name]


def has_own_module(name: str) -> None:
    """Remember that `IMPORTS` named a module, for what is said of unknown names."""
    _OWN_MODULES[name] = None


def own_parts(name: str, near: Sequence[str]) -> str:
    """What the refusal of an unknown name says of parts of the user's own.

    Args:
        name: nobody has it.
        near: names that were offered instead.

    Returns:
        The end of the line; empty where the name is one of `near` with a slip and nothing was imported.
    """
    if _OWN_MODULES:
        return f"; none of IMPORTS [{', '.join(_OWN_MODULES)}] registers it"
    if difflib.get_close_matches(name[:100], near, 1, cutoff=_ALIKE):
        return ""
    return "; a part of your own is known once IMPORTS names its module"


def _where(entry: object) -> str:
    """Module and name of what was registered: the entry itself, or the function that it holds."""
    if not hasattr(entry, "__qualname__"):
        held = [value for value in getattr(entry, "__dict__", {}).values() if callable(value)]
        entry = held[0] if held else entry
    module, name = getattr(entry, "__module__", ""), getattr(entry, "__qualname__", type(entry).__name__)
    return f"{module}.{name}" if module else name
