"""Weights & Biases, offline in the run folder unless `WANDB_MODE` says otherwise; `wandb sync` uploads it later."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from reid_dml.engine.loggers import LoggedRun, Logger, RunResult, register_logger


@register_logger("wandb")
class WandB(Logger):
    """One run of the project, with the run's fingerprint as its id, so that a run that goes on stays one."""

    package: ClassVar[str] = "wandb"

    def __init__(self, run: LoggedRun) -> None:
        import wandb

        self._wandb, self._exit_code = wandb, 0
        mode: Any = os.environ.get("WANDB_MODE", "offline")  # which wandb checks
        self._run = wandb.init(
            project=run.project,
            name=run.name,
            id=run.run or None,
            resume="allow" if run.run else None,
            dir=str(run.folder),
            config=dict(run.options),
            mode=mode,
            settings=wandb.Settings(silent=True, console="off"),
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def result(self, result: RunResult) -> None:
        content: dict[str, Any] = {f"figures/{name}": self._wandb.Html(svg) for name, svg in result.figures.items()}
        if result.table:
            header, *rows = ([*row] for row in result.table)
            content["result"] = self._wandb.Table(columns=[name or "network" for name in header], data=rows)
        self._run.log({**result.metrics, **content})
        self._run.summary.update(dict(result.metrics))

    def abort(self, *, stopped: bool) -> None:
        self._exit_code = 1

    def close(self) -> None:
        self._run.finish(self._exit_code)
