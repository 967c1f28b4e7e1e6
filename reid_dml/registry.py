"""Things known by a name in the config: one decorator to add one, one clear line for a name nobody has."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable
from typing import Generic, TypeVar

from reid_dml.errors import UserError

Thing = TypeVar("Thing")


class Registry(Generic[Thing]):
    """Names and what they stand for, for one option of the config."""

    def __init__(self, option: str, package: str) -> None:
        """`option` is the key in the config; every module of `package` is imported before the first look-up."""
        self.option, self.package = option, package
        self.things: dict[str, Thing] = {}

    def register(self, *names: str) -> Callable[[Thing], Thing]:
        """Decorator that makes a function or class known under one or several names."""

        def add(thing: Thing) -> Thing:
            self.things.update(dict.fromkeys(names, thing))
            return thing

        return add

    def names(self) -> list[str]:
        """All names, in the order of registration."""
        for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        return list(self.things)

    def get(self, name: str) -> Thing:
        """What a name stands for. Raises `UserError` with the nearest name if there is none."""
        names = self.names()
        if name not in self.things:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"{self.option}: {name!r} is not one of {', '.join(names)}{hint}")
        return self.things[name]
