"""Packages that only some commands need: the extras of pyproject.toml."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from reid_dml.errors import UserError


def require(module: str, extra: str, what: str) -> ModuleType:
    """Import a module of an optional package.

    Args:
        module: its name, such as `sklearn.manifold`.
        extra: that brings it along.
        what: cannot do without it, for the error.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise  # it is there, and lacks something itself
        raise UserError(
            f"{what}: needs the package {error.name}, which is not installed: pip install 'reid_dml[{extra}]', in a "
            f"checkout pip install '.[{extra}]'"
        ) from None
