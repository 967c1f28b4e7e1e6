"""MLflow: files in the run folder (`mlflow`), or where `MLFLOW_TRACKING_URI` says."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import ClassVar

from reid_dml.engine.loggers import LoggedRun, Logger, RunResult, register_logger

_MOST_PARAMS = 100  # at a time
_LONGEST_PARAM = 500  # characters, of older servers
_NO_NAME = re.compile(r"[^\w\-. /:]")
_TAG = "reid_dml.run"


@register_logger("mlflow")
class MLflow(Logger):
    """One run of the experiment, found again by the run's fingerprint, so that a run that goes on stays one."""

    package: ClassVar[str] = "mlflow"

    def __init__(self, run: LoggedRun) -> None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        self._metric, self._status = Metric, "FINISHED"
        place = os.environ.get("MLFLOW_TRACKING_URI") or (run.folder / "mlflow").resolve().as_uri()
        self._client = MlflowClient(tracking_uri=place)
        experiment = self._client.get_experiment_by_name(run.project)
        number = experiment.experiment_id if experiment else self._client.create_experiment(run.project)
        earlier = self._client.search_runs([number], f"tags.`{_TAG}` = '{run.run}'") if run.run else []
        if earlier:
            self._id = earlier[0].info.run_id
            self._client.set_terminated(self._id, "RUNNING")
            return
        self._id = self._client.create_run(number, run_name=run.name, tags={_TAG: run.run}).info.run_id
        params = [Param(_name(key), str(value)[:_LONGEST_PARAM]) for key, value in run.options.items()]
        for first in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(self._id, params=params[first : first + _MOST_PARAMS])

    def log(self, values: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        self._client.log_batch(self._id, [self._metric(_name(key), float(v), now, step) for key, v in values.items()])

    def result(self, result: RunResult) -> None:
        self.log(result.metrics, result.step)
        if result.markdown:
            self._client.log_text(self._id, result.markdown, "result.md")
        for name, svg in result.figures.items():
            self._client.log_text(self._id, svg, f"figures/{name}.svg")

    def abort(self, *, stopped: bool) -> None:
        self._status = "KILLED" if stopped else "FAILED"

    def close(self) -> None:
        self._client.set_terminated(self._id, self._status)


def _name(key: str) -> str:
    """A name that MLflow takes."""
    return _NO_NAME.sub("_", key)
