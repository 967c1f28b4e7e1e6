"""The run folder: paths of a run's files, starting it, checking it before a resume, and reading it again."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from yacs.config import CfgNode

from reid_dml.config import flatten, load_config
from reid_dml.config.versions import CONFIG_VERSION, VERSION_KEY
from reid_dml.digests import digest_of
from reid_dml.errors import UserError, absolute
from reid_dml.files import read_json, remove_drafts, write_json, write_text
from reid_dml.locks import exclusive, is_at
from reid_dml.runs.log import cut_lines, read_lines

# Options that say where and how a run works, not what it computes.
OF_THE_PLACE = (
    "OUTPUT_DIR",
    "DEVICE",
    "THREADS",
    "DATA.ROOT",
    "DATA.CACHE_DIR",
    "DATA.TEST",
    "DATA.SOURCE",
    "DATA.PIXEL_LIMIT",
    "DATA.SKIP_BROKEN",
    "DATA.RESIDENT_LIMIT_GB",
    "DATA.WORKERS",
    "TRAIN.CHECKPOINT_INTERVAL",
    "TRAIN.COMPILE",
    "TRAIN.GRAPH",
    "TRAIN.RECOMPUTE",
    "TEST.COMPILE",
    "MODEL.WEIGHTS",
    "CONTROL",
    "LOG.TO",
    "LOG.PROJECT",
)
# They may differ when a run is resumed, as may what it is called and shown beside, and the module that its parts are
# in, which a model keeps when it is handed on. (How it is tested, too: `TEST`.)
_FREE_ON_RESUME = (*OF_THE_PLACE, "EXPERIMENT", "EXPECTED", "SCALE", "IMPORTS")
# What may grow when a run is resumed, and is not part of what makes it this run.
_LENGTH = "TRAIN.STEPS"
# A data set's name, and behind it at most one bracket of words: `market1501`, `other (own)`, `viper (split 3)`.
_PLAIN = re.compile(r"[^\W_][\w.-]*(?: \([\w.-]+(?:,? [\w.-]+)*\)|(?<!_))")
# What environment.json and classes.json of a new run hold, whatever else.
START_KEYS = ("device", "versions", "git_revision")
_ENVIRONMENT_KEYS = (*START_KEYS, "run", "segments")
_CLASSES_KEYS = ("person_ids", "images")


def class_names(data: Mapping[str, Any]) -> list[str]:
    """Name of every row of the heads in classes.json, independent of our numbering (see `TrainingData.class_names`)."""
    return [str(name) for name in data.get("original_ids") or data["person_ids"]]


def run_fingerprint(cfg: CfgNode, data: Mapping[str, Any]) -> str:
    """What all files of a run carry: a hash of the options that decide its result, seed included, and of its images.

    Equal runs have equal fingerprints, and one that is lengthened keeps its own.

    Args:
        cfg: the config.
        data: the content of classes.json.
    """
    options = {key: value for key, value in flatten(cfg).items() if _decides(key) and key != _LENGTH}
    return digest_of([json.dumps([options, data["images"]], sort_keys=True, default=str).encode()])[:32]


def _decides(key: str) -> bool:
    """Whether an option decides the result of a training."""
    return key not in _FREE_ON_RESUME and not key.startswith("TEST.")


def _holds_keys(file: Path, keys: Sequence[str]) -> bool:
    """Whether a file is a mapping with these keys in JSON."""
    try:
        return set(keys) <= read_json(file, "").keys()
    except (UserError, OSError):
        return False


def config_text(cfg: CfgNode) -> str:
    """The text of a config.yml: every option, and the version they are of."""
    return f"{VERSION_KEY}: {CONFIG_VERSION}\n{cfg.dump()}"


class RunFolder:
    """Paths and small files of one run."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.yml"
        self.classes_file = self.path / "classes.json"
        self.environment_file = self.path / "environment.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.result_file = self.path / "result.json"
        self.report_file = self.path / "report.html"
        self.checkpoints = self.path / "checkpoints"
        self.tests = self.path / "tests"
        self._lock: IO[str] | None = None

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> RunFolder:
        """The run folder that trained networks are of: the path itself, or the folder of a weights file."""
        path = Path(path)
        return cls(path if path.is_dir() else path.parent)

    def weights_file(self, index: int, *, ema: bool = False) -> Path:
        """Weights of one network."""
        return self.path / f"network_{index}{'_ema' if ema else ''}.safetensors"

    def tests_file(self, name: str) -> Path:
        """What the cohort reached on a data set of this name, as of `with_protocol`: `tests/viper_split_3.json`.

        A name with other characters has a hash behind it.
        """
        file = re.sub(r"[^\w.-]+", "_", name).strip("_") or "data"
        if not _PLAIN.fullmatch(name):  # `my cam (own)` is not to meet `my_cam (own)`
            file += "_" + sha256(name.encode(errors="surrogateescape")).hexdigest()[:8]
        return self.tests / f"{file}.json"

    def tests_files(self) -> list[Path]:
        """All of these files, by name."""
        return sorted(self.tests.glob("*.json"))

    def features_file(self, split: str) -> Path:
        """Features of the images of a split, where they are kept (`TEST.SAVE_FEATURES`)."""
        return self.path / f"{split}.npz"

    def holds_run(self) -> bool:
        """Whether anything of a run is in the folder already: nothing is to be overwritten or mixed up."""
        traces = (self.config_file, self.metrics_file, *self.checkpoints.glob("step_*"))
        return self.has_networks() or any(trace.exists() for trace in traces)

    def has_networks(self) -> bool:
        """Whether a training has ended and left its weights, or its record."""
        return self.result_file.exists() or any(self.path.glob("network_*.safetensors"))

    def check_free(self, splits: Sequence[str] = ()) -> None:
        """Raise `UserError` if there is a run in the folder, or a file of somebody else's that a new run would replace.

        What a command leaves that is killed in `start` is neither.

        Args:
            splits: whose features the run will keep.
        """
        if self.holds_run():
            how = (
                "continue it with --resume" if self.config_file.is_file() else "its config.yml is missing; put it back"
            )
            raise UserError(f"{self.path}: holds a run already; {how}, remove it, or set OUTPUT_DIR to another folder")
        begun = {self.environment_file: _ENVIRONMENT_KEYS, self.classes_file: _CLASSES_KEYS}
        foreign = [file for file, keys in begun.items() if os.path.lexists(file) and not _holds_keys(file, keys)]
        later = [self.report_file, *self.tests_files(), *map(self.features_file, splits)]
        foreign += [file for file in later if os.path.lexists(file)]
        foreign += [folder for folder in (self.checkpoints, self.tests) if folder.exists() and not folder.is_dir()]
        if foreign:
            raise UserError(
                f"{foreign[0]}: is called like a file of a run and is of none here; move it away, or set OUTPUT_DIR to "
                "another folder"
            )

    def start(self, cfg: CfgNode, environment: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        """Begin a new run, under `lock`: environment.json, classes.json, and the frozen config last.

        The config marks a folder as a run: whatever kills the process before it is written leaves a free folder.

        Args:
            cfg: the config.
            environment: see `runs.environment`.
            data: the content of classes.json (see `TrainingData.training_summary`).
        """
        first = {key: environment[key] for key in START_KEYS}
        run, segments = run_fingerprint(cfg, data), [{"step": 0, **environment}]
        write_json(self.environment_file, {**first, "run": run, "segments": segments})
        write_json(self.classes_file, data)
        self.write_config(cfg)

    def write_config(self, cfg: CfgNode) -> None:
        """config.yml: every option of the run, and the version they are of."""
        write_text(self.config_file, config_text(cfg))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training in this folder, from before it is looked at until the run has ended.

        What killed processes left unfinished is removed. Raises `UserError` if another process has the lock.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        file, refusal = self.path / ".lock", "another process is training in this folder; wait for it or set"
        with exclusive(file, f"{self.path}: {refusal} OUTPUT_DIR to another") as self._lock:
            remove_drafts(self.path)
            remove_drafts(self.checkpoints)
            try:
                yield
            finally:
                if is_at(self._lock, file) and not self.holds_run():  # nothing has begun
                    file.unlink()
                    with suppress(OSError):  # holds files of somebody else's
                        self.path.rmdir()
                self._lock = None

    def check_there(self) -> None:
        """Raise `UserError` if the folder was removed or replaced since it was locked."""
        if self._lock is not None and not is_at(self._lock, self.path / ".lock"):
            raise UserError(
                f"{self.path}: was removed or replaced while the run used it; nothing more can be saved there: start "
                "the run again, and leave its folder alone"
            )

    def check_same(self, cfg: CfgNode) -> int:
        """The number of steps of the run in the folder, which `cfg` may continue or lengthen.

        Raises `UserError` naming every option that differs from the run's own config and decides its result.
        """
        now, then = flatten(cfg), flatten(self.config(["IMPORTS", cfg.IMPORTS]))  # its parts may have moved since
        longer = now[_LENGTH] > then[_LENGTH]
        differing = [
            f"{key} was {then.get(key)!r}, now {value!r}"
            for key, value in now.items()
            if _decides(key) and then.get(key) != value and not (key == _LENGTH and longer)
        ]
        if differing:
            raise UserError(
                f"{self.config_file}: the run to resume has other options: {'; '.join(differing)}; give the same "
                f"ones ({_LENGTH} may be raised), or set OUTPUT_DIR to another folder for a new run"
            )
        return then[_LENGTH]

    def config(self, overrides: Sequence[Any] = (), *, handed_on: bool = False) -> CfgNode:
        """The frozen config the run was started with.

        Args:
            overrides: `KEY VALUE ...` behind it.
            handed_on: see `load_config`; a folder without environment.json, which a training leaves, always is.
        """
        if not self.config_file.is_file():
            raise UserError(
                f"{absolute(self.config_file)}: not found; {self.path} is not a run folder of reid-dml train"
            )
        if not self.config_file.stat().st_size:
            raise UserError(f"{self.config_file}: is empty; copy it again from where the run was made")
        handed_on = handed_on or not self.environment_file.is_file()
        return load_config(self.config_file, overrides, version=0, handed_on=handed_on)

    def training_data(self) -> dict[str, Any]:
        """classes.json: `person_ids` of the rows of the identity heads, and the fingerprint of the training images."""
        what = "it maps the rows of the identity head to person ids and belongs beside config.yml"
        data = read_json(self.classes_file, what)
        try:
            numbers, names = [int(number) for number in data["person_ids"]], data.get("original_ids")
            whole = names is None or len(names) == len(numbers)
        except (KeyError, TypeError, ValueError, OverflowError):  # 1e400 is infinite
            whole = False
        if not whole or not isinstance(data.get("images", ""), str):
            raise UserError(f"{self.classes_file}: damaged; {what}")
        return {**data, "person_ids": numbers}

    def class_ids(self) -> list[int]:
        """Person id of every row of the identity heads."""
        return self.training_data()["person_ids"]

    def class_names(self) -> list[str]:
        """Name of every row of the heads: person ids, or custom ids and classes as they were written."""
        return class_names(self.training_data())

    def check_data(self, data: Mapping[str, Any]) -> None:
        """Raise `UserError` if the training images are no longer those the run began with."""
        before = self.training_data()
        old, new = set(class_names(before)), set(class_names(data))
        changes = [
            f"{len(ids)} persons are {what} ({min(ids)}, ...)"
            for ids, what in ((old - new, "absent"), (new - old, "new"))
            if ids
        ]
        if not changes and before.get("images") != data["images"]:
            changes = ["images were added, removed or renamed"]
        if changes:
            raise UserError(
                f"{self.classes_file}: the training images have changed since the run began: {' and '.join(changes)}; "
                "restore the data set, or start a new run in another OUTPUT_DIR"
            )

    def cut_metrics(self, step: int) -> None:
        """Drop the lines of metrics.jsonl behind a checkpoint's step, and damaged ones."""
        cut_lines(self.metrics_file, step)

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        return [values for _, values in read_lines(self.metrics_file)]


def run_folders(paths: Sequence[str | os.PathLike[str]], overrides: Sequence[Any] = ()) -> dict[str, RunFolder]:
    """Run folders by what figures call them. Raises `UserError` for one that is none, and two of one name.

    Args:
        paths: of the folders.
        overrides: `KEY VALUE ...` with which their configs will be read.
    """
    folders: dict[str, RunFolder] = {}
    for path in paths:
        name = Path(path).resolve().name
        if name in folders:
            raise UserError(f"{path}: a second run folder called {name}; figures could not tell them apart, rename one")
        folders[name] = RunFolder(path)
        folders[name].config(overrides)  # says what is wrong where this is no run folder
    return folders
