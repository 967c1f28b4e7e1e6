"""The configs that come along with the package, by name: `quickstart`, `market_mobilenet_dml`, `cifar/quickstart`."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from reid_dml.errors import UserError, absolute
from reid_dml.paths import given_path

SCALES = ("full", "small", "smoke")  # lengths of the experiments of the papers
_PACKAGE = Path(__file__).resolve().parent
# In a checkout reid_dml/configs is a link to the configs beside the package, which not every system understands.
SHIPPED = next(folder for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs", _PACKAGE) if folder.is_dir())


def shipped_names() -> list[str]:
    """The names that `find_config` knows."""
    return sorted(path.relative_to(SHIPPED).with_suffix("").as_posix() for path in SHIPPED.rglob("*.yml"))


def find_config(name: str | os.PathLike[str]) -> Path:
    """The file of a config.

    Args:
        name: a file, in whose path ~ is the home folder, or the name of a config that comes along. A file of that name
            goes first.

    Raises:
        UserError: neither, with the nearest of both.
    """
    path = given_path(name, "the config")
    if path.is_file():
        return path
    if str(name) in (names := shipped_names()):
        return SHIPPED / f"{name}.yml"
    if path.exists():
        return path  # whatever it is, it can be read, or says why not
    if not path.suffix and path.parent == Path():
        near = difflib.get_close_matches(path.name, names, 1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(one for one in names if '/' not in one)}"
        raise UserError(f"{path}: no config of this name comes along, and there is no such file; {hint}")
    beside = {other.name: str(other) for other in path.parent.glob("*.yml")}
    coming = {f"configs/{one}.yml": f"{one}, which comes along" for one in names}
    found = [known[near] for known, given in ((beside, path.name), (coming, path.as_posix()))
             for near in difflib.get_close_matches(given, known, 1)]  # fmt: skip
    raise UserError(f"{absolute(path)}: no such config file" + (f"; did you mean {found[0]}?" if found else ""))
