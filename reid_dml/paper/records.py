"""Run records of experiments: where they are, finding them, and reading numbers out of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid_dml.errors import UserError

# Where a column of the papers' tables stands in the metrics of one network, and its factor to what is printed.
COLUMNS: dict[str, tuple[tuple[str | int, ...], float]] = {
    "mAP": (("single_query", "mAP"), 100),
    "mAP trapezoid": (("single_query", "mAP_trapezoid"), 100),
    "rank-1": (("single_query", "cmc", 0), 100),
    "multi mAP trapezoid": (("multi_query", "mAP_trapezoid"), 100),
    "multi rank-1": (("multi_query", "cmc", 0), 100),
    "top-1": (("classification", "test", "top1"), 100),
    "train entropy": (("classification", "train", "entropy"), 1),
}

Record = Mapping[str, Any]
Records = Mapping[tuple[str, str], Mapping[int, Record]]  # by (experiment, scale) and seed


@dataclass(frozen=True)
class Place:
    """Where runs and records of experiments are."""

    runs: Path  # run folders, below their scale
    keep: Path | None = None  # records of finished runs and the files of analyses are copied there, too
    known: Path = Path("results/paper")  # records of runs made elsewhere

    def records(self) -> Records:
        """All records; of two of one run, that of the run folder."""
        return read_records([folder for folder in (self.known, self.keep, self.runs) if folder])

    def figures(self, name: str, scale: str) -> list[Path]:
        """Folders where the files of an analysis may be; it is made in the last."""
        folders = [folder for folder in (self.known, self.keep, self.runs) if folder]
        return [folder / scale / "figures" / name for folder in folders]

    def drawn(self, name: str, scale: str) -> Path | None:
        """The folder with the files of an analysis, the newest first."""
        return next((folder for folder in reversed(self.figures(name, scale)) if folder.is_dir()), None)


def read_records(folders: Iterable[Path]) -> Records:
    """Records below folders by (experiment, scale), each by its seed; of two of one run, that of the later folder.

    Raises `UserError` for a JSON file that is no run record.
    """
    found: dict[tuple[str, str], dict[int, Record]] = defaultdict(dict)
    for folder in folders:
        for path in sorted([*folder.glob("*/*_seed*.json"), *folder.glob("*/*_seed*/result.json")]):
            try:
                record = json.loads(path.read_bytes())
                key, seed = (str(record["experiment"]), str(record["scale"])), int(record["seed"])
                whole = bool(record["metrics"]["networks"]) and bool(record["steps"] >= 0) and record["networks"]
                record["device"], record["wall_seconds"]
            except (ValueError, KeyError, TypeError, AttributeError):
                whole = False
            if not whole:
                raise UserError(
                    f"{path}: not a run record (result.json of a run), or one with fields missing; remove it or copy "
                    "the record again"
                )
            found[key][seed] = record
    return found


def value(record: Record, network: int | str, column: str) -> float | None:
    """A number of a record as the papers print it; None where it was not measured.

    Args:
        record: of a run.
        network: index of one, `mean` of all, or `ensemble`.
        column: of `COLUMNS`.
    """
    metrics = record["metrics"]
    path, factor = COLUMNS[column]
    if isinstance(network, int) or (network == "mean" and "mean" not in metrics):
        number = network if isinstance(network, int) else 0
        found: Any = metrics["networks"][number] if number < len(metrics["networks"]) else {}
    else:
        found = metrics.get(network, {})
    for key in path:
        if isinstance(found, Mapping):
            found = found.get(str(key))
        elif isinstance(found, Sequence) and isinstance(key, int) and key < len(found):
            found = found[key]
        else:
            return None
    return None if found is None else factor * float(found)
