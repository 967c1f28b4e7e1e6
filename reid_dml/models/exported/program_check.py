"""What torch.export would run code from when it reads a .pt2 archive.

Besides pickles and compiled libraries: torch resolves the names of a graph's functions by attributes of `torch`
(`torch.hub.load`), evaluates the expressions of its sizes, and imports what the trees of its inputs name.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

# Entries of an archive, behind the folder they all stand in.
_HARMLESS = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/\w+|models/model\.json|extra/[\w.]+|"
    r"data/sample_inputs/model\.pt|data/(weights|constants)/(model_(weights|constants)_config\.json|(weight|tensor)_\d+)"
)
_OPERATOR = re.compile(r"torch\.ops\.(aten|prims)\.(\w+)\.(\w+)")
_FILES = ("from_file", "save")  # operators that open files
_ARITHMETIC = re.compile(
    r"_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|getitem|eq|ne|lt|le|gt|ge|and_|or_)|"
    r"math\.(trunc|ceil|floor|sqrt)|torch\.sym_(int|float|max|min|not|ite|sum)"
)
# Of sizes: numbers, symbols such as s34, and sympy's constructors; no attributes, no other functions.
_EXPRESSION = re.compile(
    r"(\b(Symbol|Integer|Rational|Add|Mul|Pow|Mod|PythonMod|FloorDiv|CleanDiv|Max|Min|"
    r"positive|integer|nonnegative|True|[suz]\d+)\b|'[suz]\d+'|\b\d+\b|[-+*/(), =])*"
)
_TREES = ("builtins.tuple", "builtins.list", "builtins.dict", None)


def danger(entries: Mapping[str, bytes]) -> str:
    """What torch would run code from; empty where there is nothing.

    Args:
        entries: what the archive holds, by names behind the folder that all stand in.
    """
    for name in entries:
        if not _HARMLESS.fullmatch(name):
            return f"holds {name!r}, which is no part of a program of plain tensors"
    try:
        for kind in ("weights", "constants"):
            config = json.loads(entries[f"data/{kind}/model_{kind}_config.json"].decode())["config"]
            if any(entry.get("use_pickle", True) for entry in config.values()):
                return f"holds pickled {kind}"
        for key, value in _said(json.loads(entries["models/model.json"].decode())):
            if not _is_plain(key, value):
                return f"its program says {key} {str(value)[:60]!r}"
        torch.load(io.BytesIO(entries["data/sample_inputs/model.pt"]), weights_only=True)
    except Exception as failure:  # whatever it is, it is not what we write
        return f"has parts that cannot be checked ({' '.join(str(failure).split())[:100]})"
    return ""


def _said(tree: Any) -> Iterator[tuple[str, Any]]:
    """Everything that has a name, however deep."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield key, value
            yield from _said(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _said(value)


def _is_plain(key: str, value: Any) -> bool:
    if key == "target":
        return isinstance(value, str) and (_ARITHMETIC.fullmatch(value) is not None or _is_operator(value))
    if key == "expr_str":
        return isinstance(value, str) and _EXPRESSION.fullmatch(value) is not None
    if key in ("in_spec", "out_spec") and value:
        return all(kind in _TREES for name, kind in _said(json.loads(value)) if name == "type")
    return True


def _is_operator(target: str) -> bool:
    found = _OPERATOR.fullmatch(target)
    if not found or found[2] in _FILES:
        return False
    packet = getattr(getattr(torch.ops, found[1]), found[2], None)
    return isinstance(getattr(packet, found[3], None), torch._ops.OpOverload)
