"""The tables of index types in docs/search.md, from the records of benchmarks/index_types.py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reid_dml.cells import markdown_table
from reid_dml.errors import UserError


def read_benchmarks(folder: Path) -> list[dict[str, Any]]:
    """The records of index types in a folder, by name. Raises `UserError` for a file that is none."""
    records = []
    for path in sorted(folder.glob("index_types_*.json")):
        try:
            record = json.loads(path.read_text())
            record["name"], record["types"][0]["type"]
        except (ValueError, KeyError, TypeError, IndexError):
            raise UserError(f"{path}: not a record of benchmarks/index_types.py; remove it or run it again") from None
        records.append(record)
    if not records:
        raise UserError(f"{folder}: holds no records of benchmarks/index_types.py; check the path")
    return records


def index_types_table(records: Sequence[Mapping[str, Any]]) -> str:
    """A table of the index types of each record."""
    return "\n".join(_section(record) for record in records)


def _section(record: Mapping[str, Any]) -> str:
    header = ["type", "searched with", "recall@1", "recall@10", "ms per query", "training s", "filling s", "MB"]
    rows = [
        [
            f"`{entry['type']}`",
            f"`{entry['parameters']}`" if entry["parameters"] else "",
            f"{entry['recall_at_1']:.3f}",
            f"{entry['recall_at_10']:.3f}",
            f"{entry['search_milliseconds_per_query']:.3f}",
            f"{entry['training_seconds']:.1f}",
            f"{entry['filling_seconds']:.1f}",
            f"{entry['bytes'] / 1e6:.1f}",
        ]
        for entry in record["types"]
    ]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items() if "faiss" in name)
    return (
        f"**{record['name']}** ({record['what']}): {record['vectors']:,} vectors of {record['dimension']} dimensions, "
        f"{record['queries']:,} queries; {record['device']}, {record['threads']} threads of FAISS; {versions}; "
        f"revision `{record['git_revision']}`\n\n{markdown_table([header, *rows])}"
    )
