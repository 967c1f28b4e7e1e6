"""The run folder: what a training run leaves behind, and how it is opened again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from reid_dml.config import load_config
from reid_dml.config_reading import flatten
from reid_dml.device import describe_device, git_revision, versions
from reid_dml.errors import UserError
from reid_dml.files import write_json, write_text

# Options that say where and how a run works, not what it computes: they may differ when it is resumed.
_FREE_ON_RESUME = (
    "OUTPUT_DIR",
    "DEVICE",
    "THREADS",
    "DATA.ROOT",
    "DATA.SOURCE",
    "DATA.RESIDENT_LIMIT_GB",
    "DATA.WORKERS",
    "TRAIN.CHECKPOINT_INTERVAL",
    "MODEL.WEIGHTS",
    "EXPECTED",
    "SCALE",
)


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

    def check_free(self) -> None:
        """Raise `UserError` if the folder holds a run already: nothing is overwritten."""
        if self.config_file.exists():
            raise UserError(
                f"{self.path}: holds a run already; continue it with --resume, or set OUTPUT_DIR to another folder"
            )

    def start(self, cfg: CfgNode, device: str) -> None:
        """Begin a new run: the folder, environment.json and the frozen config."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(
            self.path / "environment.json",
            {"device": describe_device(device), "versions": versions(), "git_revision": git_revision()},
        )
        write_text(self.config_file, cfg.dump())

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
                f"{self.config_file}: --resume continues this run, but {'; '.join(differing)}; give the same "
                "options, or set OUTPUT_DIR to another folder for a new run"
            )

    def config(self) -> CfgNode:
        """The frozen config the run was started with."""
        if not self.config_file.is_file():
            raise UserError(f"{self.config_file}: not found; {self.path} is not a run folder of tools/train_net.py")
        return load_config(self.config_file)

    def class_ids(self) -> list[int]:
        """Person id of every row of the identity heads."""
        try:
            return [int(number) for number in json.loads(self.classes_file.read_text())["person_ids"]]
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(
                f"{self.classes_file}: missing or damaged; it maps the rows of the identity head to person "
                "ids and belongs beside config.yml"
            ) from None

    def check_classes(self, class_ids: Sequence[int]) -> None:
        """Raise `UserError` if the training persons are no longer those the identity heads were built for."""
        before = self.class_ids()
        absent, added = sorted(set(before) - set(class_ids)), sorted(set(class_ids) - set(before))
        if absent or added:
            changes = [
                f"{len(ids)} {what} ({ids[0]}, ...)" for ids, what in ((absent, "absent"), (added, "new")) if ids
            ]
            raise UserError(
                f"{self.classes_file}: the training persons have changed since the run began: {' and '.join(changes)}; "
                "restore the data set, or start a new run in another OUTPUT_DIR"
            )

    def write_classes(self, class_ids: list[int], original_ids: Mapping[int, str]) -> None:
        """Keep which person each row of the identity head stands for, with custom ids as they were written."""
        originals = {"original_ids": [original_ids[number] for number in class_ids]} if original_ids else {}
        write_json(self.classes_file, {"person_ids": class_ids, **originals})

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
