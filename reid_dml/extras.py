"""Packages that only some commands need: the extras of pyproject.toml."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
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
        raise _missing(error.name, extra, what) from None


def check(packages: Iterable[str], extra: str, what: str) -> None:
    """Raise `UserError` for a package that is not installed, without importing those that are: before the work.

    Args:
        packages: their names.
        extra, what: as for `require`.
    """
    for package in packages:
        if find_spec(package) is None:
            raise _missing(package, extra, what)


def _missing(package: str, extra: str, what: str) -> UserError:
    return UserError(
        f"{what}: needs the package {package}, which is not installed: pip install 'reid_dml[{extra}]', in a checkout "
        f"pip install '.[{extra}]'"
    )
