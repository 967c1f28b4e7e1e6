"""Trackio: a database in the run folder (`trackio`), or where `TRACKIO_DIR` says; nothing leaves the machine."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import ClassVar

from reid_dml.engine.loggers import LoggedRun, Logger, RunResult, register_logger


@register_logger("trackio")
class Trackio(Logger):
    """One run of the project by its name; a run that goes on stays one.

    Trackio asks for its folder once: further runs of the same process go to the database of the first.
    """

    package: ClassVar[str] = "trackio"

    def __init__(self, run: LoggedRun) -> None:
        os.environ.setdefault("TRACKIO_DIR", str((run.folder / "trackio").resolve()))
        with redirect_stdout(io.StringIO()):
            import trackio

            self._trackio = trackio
            self._run = trackio.init(
                project=run.project, name=run.name, config=dict(run.options), resume="allow", embed=False
            )

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def result(self, result: RunResult) -> None:
        content = {f"figures/{name}": self._trackio.Html(svg) for name, svg in result.figures.items()}
        if result.markdown:
            content["result"] = self._trackio.Markdown(result.markdown)
        self._run.log({**result.metrics, **content}, step=result.step)

    def close(self) -> None:
        with redirect_stdout(io.StringIO()):
            self._trackio.finish()
