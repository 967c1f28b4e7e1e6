"""Config files and command lines: reading them with their bases and merging them into a tree of options."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from reid_dml.config.schema import all_options, get_option
from reid_dml.config.versions import moved
from reid_dml.errors import UserError, absolute
from reid_dml.options import Option


def flatten(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as {dotted key: value}."""
    flat: dict[str, Any] = {}
    for key, value in options.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def read_with_bases(path: Path, seen: tuple[Path, ...] = ()) -> list[tuple[Path, dict[str, Any]]]:
    """The options of a file behind those of its bases, each with where it stands. Raises `UserError`."""
    if path.resolve() in seen:
        raise UserError(f"{path}: _BASE_ leads back to this file; break the circle")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.yml")], 1)
        raise UserError(
            f"{absolute(path)}: no such config file" + (f"; did you mean {path.parent / near[0]}?" if near else "")
        ) from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise UserError(f"{path}: not a text file; a config is a YAML file such as configs/quickstart.yml") from None
    try:
        options = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(options, dict):
        raise UserError(f"{path}: a config is a mapping of options, this holds {type(options).__name__}")
    bases = options.pop("_BASE_", [])
    bases = bases if isinstance(bases, list) else [bases]
    if not all(isinstance(base, str) for base in bases):
        raise UserError(f"{path}: _BASE_ must be the path of a file, or a list of paths")
    chain = [part for base in bases for part in read_with_bases(path.parent / base, (*seen, path.resolve()))]
    return [*chain, (path, options)]


def merge(cfg: CfgNode, options: Mapping[Any, Any], source: object, section: str = "") -> None:
    """Put a file's options into a config.

    Args:
        cfg: the whole config, changed in place.
        options: nested sections as read.
        source: where they stand, for messages.
        section: dotted name of the section that `options` are of; empty: the top.

    Raises:
        UserError: naming key and source.
    """
    node, known = get_option(cfg, section) if section else cfg, all_options()
    for name, value in options.items():
        key = f"{section}.{name}" if section else str(name)
        if name not in node:
            raise UserError(f"{source}: unknown option {key}{moved(key) or _nearest(cfg, key)}")
        old = node[name]
        if isinstance(old, CfgNode) != isinstance(value, Mapping):
            kind = "a section of options" if isinstance(old, CfgNode) else "a single option"
            raise UserError(f"{source}: {key} is {kind}, not {value!r}")
        if isinstance(old, CfgNode):
            merge(cfg, value, source, key)
        else:
            node[name] = _convert(key, value, known[key], source)


def merge_overrides(cfg: CfgNode, overrides: Sequence[str]) -> None:
    """Put `KEY VALUE ...` of a command line into a config. Raises `UserError` naming the key."""
    if len(overrides) % 2:
        raise UserError(f"command line: {overrides[-1]!r} has no value; options are given as KEY VALUE")
    known = all_options()
    for key, text in zip(overrides[::2], overrides[1::2], strict=True):
        *parents, name = key.split(".")
        node = cfg
        for parent in parents:
            node = node.get(parent) if isinstance(node, CfgNode) else None
        if not isinstance(node, CfgNode) or name not in node:
            raise UserError(f"command line: unknown option {key}{moved(key) or _nearest(cfg, key)}")
        if isinstance(node[name], CfgNode):
            raise UserError(
                f"command line: {key} is a section; name one of its options, such as {key}.{next(iter(node[name]))}"
            )
        # A text option takes the word as typed: an experiment called "1e3" or "yes" stays a word.
        value = text if isinstance(node[name], str) else _parse(key, text)
        node[name] = _convert(key, value, known[key], "command line")


def _parse(key: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"command line: {key}: cannot read {text!r}; lists look like [a, b]") from None


def _convert(key: str, value: Any, option: Option, source: object) -> Any:
    if not isinstance(option.default, list):
        return _convert_scalar(key, value, option.kind, source)
    values = value if isinstance(value, (list, tuple)) else [value]
    if not values and option.items is None:
        raise UserError(f"{source}: {key} is empty; it needs at least one value, such as {option.default}")
    return [_convert_scalar(key, item, option.kind, source) for item in values]


def _convert_scalar(key: str, value: Any, kind: type, source: object) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, str):  # YAML reads 1e-4 as a word
        try:
            return float(value)
        except ValueError:
            pass
    if type(value) is not kind:
        names = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
        hint = "; quote it" if kind is str and isinstance(value, (bool, int, float)) else ""
        raise UserError(f"{source}: {key} takes {names[kind]}, not {value!r}{hint}")
    return value


def _nearest(cfg: CfgNode, key: str) -> str:
    known = list(flatten(cfg)) + [name for name, value in cfg.items() if isinstance(value, CfgNode)]
    by_upper: dict[str, str] = {name.upper(): name for name in known}
    # A right name in the wrong section first, then a name with a slip.
    near = _same_name(key.upper(), by_upper) or difflib.get_close_matches(key.upper(), by_upper, 1, cutoff=0.5)
    return f"; did you mean {by_upper[near[0]]}?" if near else "; see docs/options.md for all options"


def _same_name(key: str, known: Iterable[str]) -> list[str]:
    last = key.rsplit(".", 1)[-1]
    return [name for name in known if name.rsplit(".", 1)[-1] == last][:1]
