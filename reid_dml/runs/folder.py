"""The run folder: paths of a run's files, starting it, checking it before a resume, and reading it again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from reid_dml.config import flatten, load_config
from reid_dml.config.versions import CONFIG_VERSION, VERSION_KEY
from reid_dml.device import describe_device, git_revision, versions
from reid_dml.errors import UserError
from reid_dml.files import exclusive, write_json, write_text

# Options that say where and how a run works, not what it computes.
OF_THE_PLACE = (
    "OUTPUT_DIR",
    "DEVICE",
    "THREADS",
    "DATA.ROOT",
    "DATA.CACHE_DIR",
    "DATA.SOURCE",
    "DATA.RESIDENT_LIMIT_GB",
    "DATA.WORKERS",
    "TRAIN.CHECKPOINT_INTERVAL",
    "TRAIN.COMPILE",
    "TRAIN.GRAPH",
    "TRAIN.RECOMPUTE",
    "MODEL.WEIGHTS",
)
# They may differ when it is resumed, as may what it is called.
_FREE_ON_RESUME = (*OF_THE_PLACE, "EXPECTED", "SCALE")


def class_names(data: Mapping[str, Any]) -> list[str]:
    """Name of every row of the heads in classes.json, independent of our numbering (see `TrainingData.class_names`)."""
    return [str(name) for name in data.get("original_ids") or data["person_ids"]]


def config_text(cfg: CfgNode) -> str:
    """The text of a config.yml: every option, and the version they are of."""
    return f"{VERSION_KEY}: {CONFIG_VERSION}\n{cfg.dump()}"


class RunFolder:
    """Paths and small files of one run."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.yml"
        self.classes_file = self.path / "classes.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.result_file = self.path / "result.json"
        self.report_file = self.path / "report.html"
        self.checkpoints = self.path / "checkpoints"

    def weights_file(self, index: int, *, ema: bool = False) -> Path:
        """Weights of one network."""
        return self.path / f"network_{index}{'_ema' if ema else ''}.safetensors"

    def holds_run(self) -> bool:
        """Whether anything of a run is in the folder already: nothing is to be overwritten or mixed up."""
        traces = [self.config_file, self.metrics_file, self.result_file, *self.path.glob("network_*.safetensors")]
        return any(trace.exists() for trace in (*traces, *self.checkpoints.glob("step_*")))

    def start(self, cfg: CfgNode, device: str, data: Mapping[str, Any]) -> None:
        """Begin a new run: environment.json, classes.json, and the frozen config last.

        The config marks a folder as a run: whatever kills the process before it is written leaves a free folder.

        Args:
            cfg: the config.
            device: of the training.
            data: the content of classes.json (see `TrainingData.training_summary`).
        """
        self.path.mkdir(parents=True, exist_ok=True)
        environment = {"device": describe_device(device), "versions": versions(), "git_revision": git_revision()}
        write_json(self.path / "environment.json", environment)
        write_json(self.classes_file, data)
        self.write_config(cfg)

    def write_config(self, cfg: CfgNode) -> None:
        """config.yml: every option of the run, and the version they are of."""
        write_text(self.config_file, config_text(cfg))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training in this folder. Raises `UserError` if one does."""
        refusal = f"{self.path}: another process is training in this folder; wait for it or set OUTPUT_DIR to another"
        with exclusive(self.path / ".lock", refusal):
            yield

    def check_same(self, cfg: CfgNode) -> None:
        """Raise `UserError` naming every option that differs from the run's own config and decides its result."""
        now, then = flatten(cfg), flatten(self.config())
        differing = [
            f"{key} was {then.get(key)!r}, now {value!r}"
            for key, value in now.items()
            if key not in _FREE_ON_RESUME and not key.startswith("TEST.") and then.get(key) != value
        ]
        if differing:
            raise UserError(
                f"{self.config_file}: the run to resume has other options: {'; '.join(differing)}; give the same "
                "ones, or set OUTPUT_DIR to another folder for a new run"
            )

    def config(self) -> CfgNode:
        """The frozen config the run was started with."""
        if not self.config_file.is_file():
            raise UserError(f"{self.config_file}: not found; {self.path} is not a run folder of tools/train_net.py")
        if not self.config_file.stat().st_size:
            raise UserError(f"{self.config_file}: is empty; copy it again from where the run was made")
        return load_config(self.config_file, version=0)

    def training_data(self) -> dict[str, Any]:
        """classes.json: `person_ids` of the rows of the identity heads, and the fingerprint of the training images."""
        try:
            data = json.loads(self.classes_file.read_text())
            return {**data, "person_ids": [int(number) for number in data["person_ids"]]}
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(
                f"{self.classes_file}: missing or damaged; it maps the rows of the identity head to person ids and "
                "belongs beside config.yml"
            ) from None

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
        """Drop the lines of metrics.jsonl behind a checkpoint's step."""
        if not self.metrics_file.is_file():
            return
        kept = []
        for line in self.metrics_file.read_text().splitlines():
            try:
                if json.loads(line)["step"] > step:
                    break
            except (ValueError, KeyError):
                break  # the last line of a killed process may be cut off
            kept.append(line + "\n")
        write_text(self.metrics_file, "".join(kept))

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        if not self.metrics_file.is_file():
            return []
        return [json.loads(line) for line in self.metrics_file.read_text().splitlines()]
