"""Config files and command lines: reading them with their bases and merging them into a tree of options."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from reid_dml.config.schema import all_options, get_option
from reid_dml.config.values import convert, parse_word
from reid_dml.config.versions import moved
from reid_dml.config.yaml_text import parse_yaml
from reid_dml.errors import UserError, absolute
from reid_dml.options import Option, shown
from reid_dml.registry import own_parts
from reid_dml.text import is_name

_KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)*")  # what a key of an option looks like


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
    options = read_text(text, path)
    bases = options.pop("_BASE_", [])
    bases = bases if isinstance(bases, list) else [bases]
    if not all(isinstance(base, str) for base in bases):
        raise UserError(f"{path}: _BASE_ must be the path of a file, or a list of paths")
    if wrong := [base for base in bases if not is_name(base)]:
        raise UserError(f"{path}: _BASE_: {shown(wrong[0])} holds a character that no name can have; leave it out")
    chain = [part for base in bases for part in read_with_bases(path.parent / base, (*seen, path.resolve()))]
    return [*chain, (path, options)]


def read_text(text: str, source: Path) -> dict[str, Any]:
    """The options of a text, nested as they stand. Raises `UserError`."""
    options = parse_yaml(text, source) or {}
    if not isinstance(options, dict):
        raise UserError(f"{source}: a config is a mapping of options, this holds {type(options).__name__}")
    return options


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
            if str(name).endswith(")") and value is None:  # {SIZE: (64, 32)} is SIZE: "(64" and "32)": nothing
                raise UserError(f"{source}: {shown(name)} in {section or 'the file'}: lists are written [64, 32]")
            raise UserError(f"{source}: unknown option {key[:100]}{moved(key) or _nearest(cfg, key)}")
        old = node[name]
        if isinstance(old, CfgNode) != isinstance(value, Mapping):
            kind = "a section of options" if isinstance(old, CfgNode) else "a single option"
            raise UserError(f"{source}: {key} is {kind}, not {shown(value)}")
        if isinstance(old, CfgNode):
            merge(cfg, value, source, key)
        else:
            node[name] = convert(key, value, known[key], source)


def merge_overrides(cfg: CfgNode, words: Sequence[Any]) -> list[str]:
    """Put `KEY VALUE ...` of a command line, or of Python, into a config. Raises `UserError` naming the key.

    The values of a list may also stand as words of their own behind its key. Values that are no texts are taken as they
    are. Returns the keys.
    """
    known, keys = all_options(), []
    for key, given in split_words(words):
        option = _overridden(cfg, key, known)
        value = value_of(key, given, option)
        *parents, name = key.split(".")
        (get_option(cfg, ".".join(parents)) if parents else cfg)[name] = convert(key, value, option, "command line")
        keys.append(key)
    return keys


def split_words(words: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Each key of `KEY VALUE ...` with the words of its value; none behind a last key alone.

    A key that is no option (yet) has all words up to the next one that looks like a key.
    """
    known, rest = all_options(), list(words)
    while rest:
        key = str(rest.pop(0))
        given = [rest.pop(0)] if rest else []
        option = known.get(key)
        several = option is None or isinstance(option.default, list)
        while given and several and isinstance(given[0], str) and rest and not _KEY.fullmatch(str(rest[0])):
            given.append(str(rest.pop(0)))
        yield key, given


def value_of(key: str, given: Sequence[Any], option: Option) -> Any:
    """The value that the words behind a key stand for, not yet of the option's type.

    Args:
        key: of the option.
        given: the words, or one value of Python's; empty: there is none, which raises `UserError`.
        option: what it may be.
    """
    if not given:
        raise UserError(f"command line: {key!r} has no value; options are given as KEY VALUE")
    if not isinstance(given[0], str):
        return os.fspath(given[0]) if isinstance(given[0], os.PathLike) else given[0]
    if len(given) == 1 or any("," in word or word[:1] in ("[", "(") for word in given):
        return parse_word(key, " ".join(given), option)  # of several words: `[64, 32]` without quotes
    return [parse_word(key, word, option) for word in given]


def _overridden(cfg: CfgNode, key: str, known: Mapping[str, Option]) -> Option:
    """The option of a key. Raises `UserError` where it is none."""
    if key in known:
        return known[key]
    if isinstance(cfg.get(key), CfgNode):
        raise UserError(
            f"command line: {key} is a section; name one of its options, such as {key}.{next(iter(cfg[key]))}"
        )
    raise UserError(f"command line: unknown option {key[:100]}{moved(key) or _nearest(cfg, key)}")


def _nearest(cfg: CfgNode, key: str) -> str:
    if len(key) > 200:  # a search for names alike would take its time
        return "; see docs/options.md for all options"
    known = list(flatten(cfg)) + [name for name, value in cfg.items() if isinstance(value, CfgNode)]
    by_upper: dict[str, str] = {name.upper(): name for name in known}
    # A right name in the wrong section first, then a name with a slip.
    near = _same_name(key.upper(), by_upper) or difflib.get_close_matches(key.upper(), by_upper, 1, cutoff=0.5)
    if not near and not _KEY.fullmatch(key):
        return "; options are given as KEY VALUE, with keys such as TRAIN.STEPS; a list is written [64, 32]"
    hint = f"; did you mean {by_upper[near[0]]}?" if near else "; see docs/options.md for all options"
    return hint + own_parts(key.upper(), near)


def _same_name(key: str, known: Iterable[str]) -> list[str]:
    last = key.rsplit(".", 1)[-1]
    return [name for name in known if name.rsplit(".", 1)[-1] == last][:1]
