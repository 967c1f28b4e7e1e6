"""Public functions of three or more parameters say what each of them is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.conftest import REPOSITORY


def public_functions() -> Iterator[tuple[str, list[str], str]]:
    """(place, parameters, docstring) of every public function and method; of `__init__` with its class's docstring."""
    for path in sorted((REPOSITORY / "reid_dml").rglob("*.py")):
        where = str(path.relative_to(REPOSITORY))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Module, ast.ClassDef)) and not getattr(node, "name", "").startswith("_"):
                for entry in node.body:
                    if isinstance(entry, ast.FunctionDef) and (
                        not entry.name.startswith("_") or entry.name == "__init__"
                    ):
                        arguments = (*entry.args.posonlyargs, *entry.args.args, *entry.args.kwonlyargs)
                        names = [argument.arg for argument in arguments if argument.arg not in ("self", "cls")]
                        doc = ast.get_docstring(entry) or ""
                        if entry.name == "__init__":
                            doc += "\n" + (ast.get_docstring(node) or "")
                        elif not doc and isinstance(node, ast.ClassDef):
                            continue  # the contract it fulfils says it
                        yield f"{where}:{entry.lineno} {entry.name}", names, doc


def test_every_public_function_of_three_parameters_has_an_argument_list():
    incomplete = [
        (place, absent)
        for place, names, doc in public_functions()
        if len(names) > 2
        and (absent := [name for name in names if not re.search(rf"\b{name}\b", doc.partition("Args:")[2])])
    ]
    assert not incomplete
