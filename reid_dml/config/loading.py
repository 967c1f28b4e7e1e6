"""From a config file and a command line to a checked, frozen config.

A config file may start with `_BASE_: other.yml` or a list of files (relative to itself). Options given later win:
bases in their order, file, further files, command line. yacs does not look inside lists, so per-network options are
parallel lists of length 1 or K.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from reid_dml.config.checks import check_config
from reid_dml.config.imports import import_parts
from reid_dml.config.reading import merge, merge_overrides, read_text, read_with_bases
from reid_dml.config.schema import default_config, get_option
from reid_dml.config.versions import upgrade
from reid_dml.shipped import find_config


def load_config(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    overrides: Sequence[Any] = (),
    *,
    version: int | None = None,
    handed_on: bool = False,
) -> CfgNode:
    """Defaults, the file with its bases, then `KEY VALUE ...` overrides; checked and frozen.

    What `IMPORTS` names is imported first, see `config.imports`.

    Args:
        path: the config file, or the name of one that comes along (`shipped.find_config`), or several, the first of
            which names the experiment; later ones win.
        overrides: keys and values in turn, as on a command line, or values of Python's: `["TRAIN.STEPS", 100]`.
        version: what a file without `VERSION` is of; None: written by hand, perhaps long ago.
        handed_on: whether the file came with somebody else's model, whose `IMPORTS` are not followed.

    Raises:
        UserError: naming the key, the file and the nearest valid key.
    """
    paths = path if isinstance(path, Sequence) and not isinstance(path, str) else [path]
    first, *others = [find_config(one) for one in paths]
    parts = [part for file in (first, *others) for part in read_with_bases(file)]
    return _assemble(parts, others[-1] if others else first, overrides, version, first.stem, handed_on=handed_on)


def parse_config(
    text: str, source: str | os.PathLike[str], overrides: Sequence[Any] = (), *, version: int | None = None
) -> CfgNode:
    """`load_config` of a text that stands somewhere else, such as in the header of a weights file.

    It came with a model that was handed on: its `IMPORTS` are not followed.

    Args:
        text: of a config file.
        source: where it stands.
        overrides, version: as for `load_config`.
    """
    source = Path(source)
    return _assemble([(source, read_text(text, source))], source, overrides, version, source.stem, handed_on=True)


def _assemble(
    parts: Sequence[tuple[Path, dict[str, Any]]],
    path: Path,
    overrides: Sequence[Any],
    version: int | None,
    name: str,
    *,
    handed_on: bool,
) -> CfgNode:
    parts = [(source, upgrade(options, source, version)) for source, options in parts]
    import_parts(parts, overrides, handed_on=handed_on)
    cfg = default_config()
    for source, options in parts:
        merge(cfg, options, source)
    overridden = merge_overrides(cfg, overrides)
    if not cfg.EXPERIMENT:
        cfg.EXPERIMENT = name
    if not cfg.OUTPUT_DIR:
        cfg.OUTPUT_DIR = f"runs/{cfg.EXPERIMENT}"
    check_config(cfg, path, overridden)
    cfg.freeze()
    return cfg


def per_network(cfg: CfgNode, key: str) -> list[Any]:
    """A per-network option as a list of length K."""
    values = get_option(cfg, key)
    return list(values) * len(cfg.COHORT.NETWORKS) if len(values) == 1 else list(values)
