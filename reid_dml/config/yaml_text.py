"""YAML as config files mean it: every key once, numbers as they look, nothing that grows when it is read.

YAML 1.1 takes 010 for eight, 12:30:00 for a number, 2024-01-01 for a date and `no` for False, and the later of two
equal keys. Here 010 is ten, times and dates are words, as are yes, no, on and off, which an option that is True or
False understands; a key given twice is refused with both lines.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from reid_dml.errors import UserError

_LARGEST = 2**20  # characters of a file
_MOST = 20_000  # values, where each one that an alias repeats counts again
_DIGITS = 4000  # of a whole number that Python reads


class _Loader(yaml.SafeLoader):
    """Safe YAML without the number formats, dates and booleans that surprise."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML declares it as a plain dict
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rsplit(":", 1)[-1] in ("null", "merge")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class Padded(int):
    """A whole number that was written with zeros in front, and how."""

    text: str


_NUMBER = r"[-+]?(?:[0-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)"
_FLOAT = r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)"
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", _NUMBER, "-+0123456789"),
    ("float", rf"{_FLOAT}|\.(?:nan|NaN|NAN)", "-+0123456789."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def _whole_number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    text = str(loader.construct_scalar(node)).replace("_", "")
    digits = text.lstrip("+-")
    if len(digits) > _DIGITS:
        return node.value  # of a longer one Python makes no number
    number = int(text, {"0x": 16, "0b": 2}.get(digits[:2], 10))
    if digits[0] == "0" and digits.isdecimal() and len(digits) > 1:
        number = Padded(number)
        number.text = node.value
    return number


def _tuple(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> Any:
    return loader.construct_sequence(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)
_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _tuple)  # as yacs writes tuples


def parse_yaml(text: str, source: object) -> Any:
    """The value of a YAML text.

    Args:
        text: the whole text.
        source: where it stands, for messages.

    Raises:
        UserError: no YAML, a key given twice, aliases that repeat too much, or nesting that is too deep.
    """
    if len(text) > _LARGEST:
        raise UserError(f"{source}: {len(text):,} characters; a config has {_LARGEST:,} at most")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            _Checker(source).count(node)
        return None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise UserError(f"{source}: not valid YAML: {_in_one_line(error)}") from None
    except RecursionError:
        raise UserError(f"{source}: not a config: its values are nested too deeply") from None
    except (ValueError, OverflowError, LookupError, TypeError, AttributeError) as error:
        # A tag that promises what the text is not; PyYAML's own constructors of values do not say so.
        raise UserError(
            f"{source}: not valid YAML: a value is not what its tag says ({' '.join(str(error).split())[:200]})"
        ) from None


class _Checker:
    """Walks over a text's nodes before any value is made of them."""

    def __init__(self, source: object) -> None:
        self.source = source
        self.counts: dict[int, int] = {}  # of the values in a node, by its identity; 0 while they are counted

    def count(self, node: yaml.Node, where: str = "") -> int:
        """How many values a node stands for. Raises `UserError` for too many, a circle, or a key given twice."""
        if id(node) in self.counts:
            if not self.counts[id(node)]:
                raise UserError(f"{self._place(node)}: {where or 'a value'} holds itself; leave the alias out")
            return self.counts[id(node)]
        self.counts[id(node)] = 0
        total = 1
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node, where)
            for key, value in node.value:
                name = key.value if isinstance(key, yaml.ScalarNode) else ""
                total += self.count(key) + self.count(value, f"{where}.{name}" if where else name)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(self.count(value, where) for value in node.value)
        if total > _MOST:
            raise UserError(
                f"{self._place(node)}: stands for more than {_MOST:,} values, repeated by aliases; no config"
            )
        self.counts[id(node)] = total
        return total

    def _check_keys(self, node: yaml.MappingNode, where: str) -> None:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":merge"):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                name = f"{where}.{key.value}" if where else key.value
                raise UserError(
                    f"{self.source}: {name} is given twice, in lines {lines[key.value]} and {line}; keep one, with "
                    "the options of both"
                )
            lines[key.value] = line

    def _place(self, node: yaml.Node) -> str:
        return f"{self.source}, line {node.start_mark.line + 1}"


def _in_one_line(error: yaml.YAMLError) -> str:
    """What is wrong and where; YAML's own message repeats the text around it."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    if problem and mark:
        return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"[:300]
    return " ".join(str(error).split())[:300]
