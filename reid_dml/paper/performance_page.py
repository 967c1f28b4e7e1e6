"""docs/performance.md from the records of the benchmarks: what our operations cost beside what they are made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reid_dml.errors import UserError
from reid_dml.paper.results_page import markdown_table

_INTRODUCTION = """# Performance

Generated from the records in `results/benchmarks/` by `make results`; nothing here is typed in by hand. In every table
both sides of a ratio were timed alternately in one run, on the machine that the line below it names.
"""


def read_performance(folder: Path) -> list[dict[str, Any]]:
    """The records that name one of these benchmarks, by file name. Raises `UserError` for a file that is no record."""
    records = []
    for path in sorted(folder.glob("*.json")):
        try:
            record = json.loads(path.read_text())
            kind = record.get("benchmark")
        except (ValueError, AttributeError):
            raise UserError(f"{path}: not a benchmark's record; remove it or run the benchmark again") from None
        if kind in _SECTIONS:
            records.append(record)
    return records


def performance_page(records: Sequence[Mapping[str, Any]]) -> str:
    """The page: a section a benchmark, in a fixed order."""
    parts = [_INTRODUCTION]
    for kind, (title, explanation, table) in _SECTIONS.items():
        own = [record for record in records if record["benchmark"] == kind]
        if own:
            parts.append(f"## {title}\n\n{explanation}\n")
        for record in own:
            parts.append(markdown_table(table(record)))
            versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
            parts.append(f"{record['device']}; {versions}; revision `{record['git_revision']}`\n")
    return "\n".join(parts)


def _evaluation(record: Mapping[str, Any]) -> list[list[str]]:
    header = ["size", "queries x gallery", "metrics", "bare product", "ratio", "memory above the features", "sorting"]
    return [
        header,
        *(
            [
                name,
                f"{found['queries']:,} x {found['gallery']:,}",
                f"{found['seconds']:.2f} s",
                f"{found['bare_seconds']:.2f} s",
                f"{found['ratio']:.2f}",
                f"{found['memory_gb']:.2f} GB",
                f"{found['sorting_seconds']:.1f} s",
            ]
            for name, found in record["sizes"].items()
        ),
    ]


def _reranking(record: Mapping[str, Any]) -> list[list[str]]:
    header = ["images", "time", "memory above the features", "beside it on the first images", "largest difference"]
    reference = record.get("reference")
    beside = difference = ""
    if reference:
        beside = (
            f"{reference['images']:,} images: ours {reference['seconds']:.2f} s, dense code "
            f"{reference['dense_seconds']:.1f} s"
        )
        difference = f"{reference['largest_difference']:.0e}"
    size = f"{record['queries']:,} + {record['gallery']:,}, {record['width']}-d, {record['features']}"
    return [header, [size, f"{record['seconds']:.1f} s", f"{record['memory_gb']:.2f} GB", beside, difference]]


def _cohort(record: Mapping[str, Any]) -> list[list[str]]:
    header = ["networks", "input", "batch", "DML step", "bare networks", "ratio", "range"]
    row = [
        " + ".join(record["networks"]),
        " x ".join(map(str, record["size"])),
        str(record["batch"]),
        f"{record['dml_ms']:.1f} ms",
        f"{record['bare_ms']:.1f} ms",
        f"{record['ratio']:.3f}",
        f"{record['ratios'][0]:.3f} to {record['ratios'][-1]:.3f}, n = {record['repeats']}",
    ]
    return [header, row]


_Table = Callable[[Mapping[str, Any]], list[list[str]]]
_COHORT = """`benchmarks/cohort.py`: a simultaneous DML step, with augmentation, exchange of predictions and mimicry,
beside forward, backward and optimiser of the same networks."""
_EVALUATION = """`benchmarks/evaluation.py`: CMC, mAP and mINP of drawn 512-d features beside the bare float32 product
of the same shapes, blocked into one reused buffer. "Sorting" is what ordering the gallery of every query takes, from
the first 100 queries."""
_RERANKING = """`benchmarks/reranking.py`: beside the authors' dense NumPy algorithm, which needs several N x N matrices
and is therefore timed on the first images only."""
_SECTIONS: dict[str, tuple[str, str, _Table]] = {
    "cohort": ("A mutual learning step", _COHORT, _cohort),
    "evaluation": ("Exact ranking metrics", _EVALUATION, _evaluation),
    "reranking": ("k-reciprocal re-ranking", _RERANKING, _reranking),
}
