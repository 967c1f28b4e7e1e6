"""Values of options as they were written, in a config file or on a command line, in the option's own type."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from reid_dml.config.yaml_text import Padded, parse_yaml
from reid_dml.errors import UserError
from reid_dml.options import TYPES, Option, shown
from reid_dml.paths import expand_path
from reid_dml.text import is_name

_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}
_BRACKETS = {"(": ")", "[": "]"}


def parse_word(key: str, text: str, option: Option) -> Any:
    """The value that a word of a command line stands for, not yet in the option's type.

    Args:
        key: of the option, for messages.
        text: the word.
        option: what the key stands for.
    """
    if option.kind is str and not isinstance(option.default, list):
        return text  # as it is typed: an experiment called "1e3" or "yes" stays a word
    if isinstance(option.default, list):
        return split_list(key, text, option, "command line")
    return parse_yaml(text, f"command line: {key}")


def split_list(key: str, text: str, option: Option, source: object) -> Any:
    """The values of a list that is written as one text: `[a, b]`, `(a, b)`, `a,b`, or numbers between blanks.

    Args:
        key: of the option, for messages.
        text: the list.
        option: what the key stands for.
        source: where it stands, for messages.
    """
    text = text.strip()
    end = _BRACKETS.get(text[:1])
    if end:
        if not text.endswith(end):
            raise UserError(f"{source}: {key}: cannot read {shown(text)}; lists look like {example(option)}")
        text = text[1:-1].strip().removesuffix(",")
        return parse_yaml(f"[{text}]", f"{source}: {key}: cannot read {shown(text)}; lists look like [a, b]")
    if "," in text and not (option.path and Path(text).exists()):
        return parse_yaml(f"[{text}]", f"{source}: {key}: cannot read {shown(text)}; lists look like [a, b]")
    if option.kind in (int, float) and len(words := text.split()) > 1:
        return [parse_yaml(word, f"{source}: {key}") for word in words]
    if option.kind is str:
        return text
    return parse_yaml(text, f"{source}: {key}")


def convert(key: str, value: Any, option: Option, source: object) -> Any:
    """A value in the type of its option.

    Args:
        key: the option's.
        value: as read.
        option: what it may be.
        source: where the value stands, for messages.

    Raises:
        UserError: naming source, key and value.
    """
    if not isinstance(option.default, list):
        return _convert_scalar(key, value, option, source)
    if isinstance(value, str):
        value = split_list(key, value, option, source)
    values = value if isinstance(value, (list, tuple)) else [value]
    if not values and option.items is None:
        raise UserError(f"{source}: {key} is empty; it needs at least one value, such as {option.default}")
    return [_convert_scalar(key, item, option, source) for item in values]


def example(option: Option) -> str:
    """How a list of this option is written."""
    return str(option.default or "[a, b]").replace("'", "")


def _convert_scalar(key: str, value: Any, option: Option, source: object) -> Any:
    kind = option.kind
    if isinstance(value, Padded):
        value = value.text if kind is str else int(value)
    switch = kind is str and "True" in option.allowed()  # on, off, or something else such as auto
    if (kind is bool or switch) and isinstance(value, str):
        value = _BOOLEANS.get(value.lower(), value)
    if switch and isinstance(value, bool):
        value = str(value)
    if kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        value = _as_float(value)
    if value is None:
        hint = "; a lone ~ is nothing in YAML, quote it" if option.path else ""
        raise UserError(f"{source}: {key} has no value; leave it out, or give it {TYPES[kind]}{hint}")
    if type(value) is not kind:
        hint = "; quote it" if kind is str and isinstance(value, (bool, int, float)) else ""
        if isinstance(option.default, list) and not isinstance(value, (bool, int, float)):
            hint += f"; a list is written {example(option)}"
        raise UserError(f"{source}: {key} takes {TYPES[kind]}, not {shown(value)}{hint}")
    if isinstance(value, str):
        _check_text(key, value, option, source)
        return expand_path(value, f"{source}: {key}") if option.path else value
    return value


def _as_float(value: int | str) -> Any:
    """A number of a whole one, or of a word such as 1e-4, which YAML takes for a text; as it was if it is none."""
    try:
        return float(value)
    except (ValueError, OverflowError):
        return float("inf") if isinstance(value, int) else value


def _check_text(key: str, text: str, option: Option, source: object) -> None:
    if not is_name(text):
        raise UserError(f"{source}: {key}: {shown(text)} holds a character that no name can have; leave it out")
    if (option.path or key == "EXPERIMENT") and len(os.fsencode(text)) > 4096:
        raise UserError(f"{source}: {key}: {shown(text)} has {len(text):,} characters; shorten it")
