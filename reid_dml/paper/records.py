"""Run records of experiments: where they are, finding and checking them, and reading numbers out of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

from reid_dml.classification.posterior import TOP_CLASSES
from reid_dml.errors import UserError
from reid_dml.mutual.objective import build_objective
from reid_dml.paper.experiments import EXPERIMENTS, Experiment
from reid_dml.paper.recipes import recipe, seed_of
from reid_dml.runs.record import read_record

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
# The mean probability of the true class, and of the most probable others in falling order (CVPR, Fig. 4c).
RANKED_CLASSES = tuple(f"p{rank}" for rank in range(1, TOP_CLASSES + 1))
COLUMNS |= {name: (("classification", "train", "posterior", place), 1) for place, name in enumerate(RANKED_CLASSES)}

Record = Mapping[str, Any]
Records = Mapping[tuple[str, str], Mapping[int, Record]]  # by (experiment, scale) and seed


@dataclass(frozen=True)
class Place:
    """Where runs and records of experiments are."""

    runs: Path  # run folders, below their scale
    keep: Path | None = None  # records of finished runs and the files of analyses are copied there, too
    elsewhere: Path = Path("results/paper")  # records of runs made elsewhere

    @property
    def folders(self) -> list[Path]:
        """All of them; of two records of one run, that of the later folder counts."""
        return list(dict.fromkeys(folder for folder in (self.elsewhere, self.keep, self.runs) if folder))

    def records(self) -> Records:
        """All records. Raises `UserError` for one that is damaged, in the wrong place, or of another recipe."""
        return read_records(self.folders)

    def figures(self, name: str, scale: str) -> list[Path]:
        """Folders where the files of an analysis may be; it is made in the last."""
        return [folder / scale / "figures" / name for folder in self.folders]

    def drawn(self, name: str, scale: str) -> Path | None:
        """The folder with the files of an analysis, if it was made."""
        return next((folder for folder in reversed(self.figures(name, scale)) if any(folder.glob("*.csv"))), None)


def read_records(folders: Iterable[Path]) -> Records:
    """Records below folders by (experiment, scale), each by its seed; of two of one run, that of the later folder.

    Raises `UserError` for a file that is no run record, does not belong to its folder, or is of another recipe than the
    experiment of its name.
    """
    found: dict[tuple[str, str], dict[int, Record]] = defaultdict(dict)
    for folder in folders:
        for path in sorted([*folder.glob("*/*_seed*.json"), *folder.glob("*/*_seed*/result.json")]):
            record = _read(path)
            name, scale = record["experiment"], record["scale"]
            run = path.parent if path.name == "result.json" else path.with_suffix("")
            if name not in EXPERIMENTS:
                raise UserError(
                    f"{path}: is the record of {name}, and there is no experiment of that name; move it away"
                )
            if run.parent.name != scale or not _is_called(run.name, EXPERIMENTS[name], record["seed"]):
                raise UserError(
                    f"{path}: is the record of {name} at the scale {scale}, seed {record['seed']}; move it to where it "
                    "belongs"
                )
            found[name, scale][record["seed"]] = record
            _check_recipe(record, path)
    return found


def _is_called(file: str, experiment: Experiment, seed: int) -> bool:
    """Whether a folder or record is named after its run."""
    name, _, number = file.rpartition("_seed")
    return name == experiment.name and number.isdecimal() and seed_of(experiment, int(number)) == seed


def _read(path: Path) -> Record:
    remedy = "remove it or copy the record again"
    record = read_record(path, remedy)
    if not _is_measured(record):
        raise UserError(f"{path}: not a run record of a paper's experiment, or one with numbers missing; {remedy}")
    return record


def _is_measured(record: Record) -> bool:
    """Whether a run record has what pages are made of, each of its kind."""
    if not isinstance(record.get("precision"), str) or not isinstance(record.get("batch_size"), int):
        return False
    networks, curves = record["metrics"].get("networks"), record.get("curves", {})
    if not networks or not isinstance(curves, Mapping):
        return False
    ensembles = record["metrics"].get("ensembles", {})
    if not isinstance(ensembles, Mapping) or not all(size.isascii() and size.isdecimal() for size in ensembles):
        return False
    rows = (*range(len(networks)), "mean", *(f"ensembles/{size}" for size in ensembles), "ensemble")
    numbers = (_at(record, network, column) for network in rows for column in COLUMNS)
    return all(number is None or _is_number(number) for number in numbers) and all(
        _is_curve(curve, len(networks)) for curve in curves.values()
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _is_curve(curve: Any, networks: int) -> bool:
    if not isinstance(curve, Mapping) or not isinstance(curve.get("steps"), list):
        return False
    rows = curve.get("networks")
    return (
        isinstance(rows, list)
        and len(rows) == networks
        and all(isinstance(row, list) and len(row) == len(curve["steps"]) for row in rows)
        and all(isinstance(number, (int, float)) for row in (curve["steps"], *rows) for number in row)
    )


def _check_recipe(record: Record, path: Path) -> None:
    """Raise `UserError` unless it is of the recipe of its name: runs of one name may differ in their seeds only."""
    wanted, sizes = _of_recipe(record["experiment"], record["scale"])
    if lacking := [size for size in sizes if size not in record["metrics"].get("ensembles", {})]:
        raise UserError(f"{path}: lacks the ensembles of {' and '.join(lacking)} networks; move it away")
    have = {**record, "objective": {key: own for key, own in record["objective"].items() if key != "teachers"}}
    for key, value_of_recipe in wanted.items():
        if have[key] != value_of_recipe:
            raise UserError(
                f"{path}: is not of the recipe of {record['experiment']} at the scale {record['scale']}: its {key} is "
                f"{have[key]}, not {value_of_recipe}; move it away"
            )


@cache
def _of_recipe(name: str, scale: str) -> tuple[Mapping[str, Any], list[str]]:
    """What the record of a run of an experiment must say, and the sizes of the ensembles that it must have."""
    cfg = recipe(EXPERIMENTS[name], scale, 0, Path())
    wanted = {
        "dataset": cfg.DATA.NAME,
        "networks": list(cfg.COHORT.NETWORKS),
        "steps": cfg.TRAIN.STEPS,
        "batch_size": cfg.TRAIN.BATCH_SIZE,
        "precision": cfg.TRAIN.PRECISION,
        "update": cfg.UPDATE.RULE,
        "objective": build_objective(cfg.OBJECTIVE).record(),
    }
    return wanted, [str(size) for size in cfg.TEST.ENSEMBLE_SIZES]


def value(record: Record, network: int | str, column: str) -> float | None:
    """A number of a record as the papers print it; None where it was not measured.

    Args:
        record: of a run.
        network: index of one, `mean` of all, `ensemble`, or an ensemble of the first ones such as `ensembles/3`.
        column: of `COLUMNS`.
    """
    found = _at(record, network, column)
    return None if found is None else COLUMNS[column][1] * float(found)


def _at(record: Record, network: int | str, column: str) -> Any:
    """What stands where the number of a column is to be; None for nothing."""
    metrics = record["metrics"]
    path, _ = COLUMNS[column]
    networks = metrics["networks"]
    if network == "mean" and len(networks) == 1:
        network = 0
    if isinstance(network, int):
        found: Any = networks[network] if network < len(networks) else {}
    else:
        found, path = metrics, (*network.split("/"), *path)
    for key in path:
        if isinstance(found, Mapping):
            found = found.get(str(key))
        elif isinstance(found, Sequence) and isinstance(key, int) and key < len(found):
            found = found[key]
        else:
            return None
    return found
