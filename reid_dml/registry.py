"""Things known by a name in the config: one decorator to add one, one clear line for a name nobody has."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable
from typing import Generic, TypeVar

from reid_dml.errors import UserError

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Names and what they stand for, for one option of the config."""

    def __init__(self, option: str, package: str) -> None:
        """A registry without entries.

        Args:
            option: the key in the config.
            package: every module of it is imported before the first look-up, so that a file there is all it takes to
                add an entry. Entries may also be registered from outside, before the config is loaded.
        """
        self.option, self.package = option, package
        self._entries: dict[str, Entry] = {}

    def register(self, *names: str) -> Callable[[Entry], Entry]:
        """Decorator that makes a function or class known under one or several names.

        Raises:
            ValueError: a name that is taken already; nothing is registered then.
        """

        def add(entry: Entry) -> Entry:
            for name in names:
                if name in self._entries:
                    raise ValueError(
                        f"{self.option}: {name!r} is registered already, by {_where(self._entries[name])}; give "
                        f"{_where(entry)} another name"
                    )
            self._entries.update(dict.fromkeys(names, entry))
            return entry

        return add

    def names(self) -> list[str]:
        """All names, in the order of registration."""
        for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        return list(self._entries)

    def entries(self) -> dict[str, Entry]:
        """Everything registered, by name."""
        return {name: self._entries[name] for name in self.names()}

    def get(self, name: str) -> Entry:
        """What a name stands for. Raises `UserError` with the nearest name if there is none."""
        names = self.names()
        if name not in self._entries:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"{self.option}: {name!r} is not one of {', '.join(names)}{hint}")
        return self._entries[name]


def _where(entry: object) -> str:
    module, name = getattr(entry, "__module__", ""), getattr(entry, "__qualname__", type(entry).__name__)
    return f"{module}.{name}" if module else name
