"""Where a training's numbers go beside metrics.jsonl (`LOG.TO`), one file each.

To add one: a file here with a `Logger` decorated with `@register_logger`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from reid_dml.errors import describe_os_error
from reid_dml.extras import check
from reid_dml.registry import Registry


@dataclass(frozen=True)
class LoggedRun:
    """The run whose numbers are logged.

    Attributes:
        name: of the run.
        folder: of the run; what is kept on this machine goes there.
        project: that it belongs to.
        run: its fingerprint, the same when it goes on after an interruption.
        start: steps taken already.
        options: hyper-parameters by name.
    """

    name: str
    folder: Path
    project: str = "reid_dml"
    run: str = ""
    start: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult:
    """What a finished run reached.

    Attributes:
        step: of the last update.
        metrics: by name.
        table: of the evaluation, header first.
        markdown: the same table as text.
        figures: SVG by name.
    """

    step: int
    metrics: Mapping[str, float]
    table: Sequence[Sequence[str]] = ()
    markdown: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)


class Logger:
    """Takes the numbers of one run, on process 0. Every method does nothing unless it is overridden."""

    package: ClassVar[str] = ""  # that must be installed
    needed: ClassVar[bool] = False  # whether the run ends where it fails; otherwise the run goes on without it

    def __init__(self, run: LoggedRun) -> None:
        """Begin, or go on with what an earlier process began of the same run."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Values by name at a step; `network_0/loss` is that of network 0."""

    def end_training(self) -> None:
        """No further steps: what was logged is on disk when this returns."""

    def result(self, result: RunResult) -> None:
        """What the evaluation found, behind the training."""

    def abort(self, *, stopped: bool) -> None:
        """The run ends before its last step or its evaluation: it was stopped, and may go on, or it failed."""

    def close(self) -> None:
        """The end, also that of a run that failed."""


LOGGERS: Registry[type[Logger]] = Registry("LOG.TO", __name__, Logger)
register_logger = LOGGERS.register


def check_loggers(names: Sequence[str]) -> None:
    """Raise `UserError` for a logger whose package is not installed: before a training, not at its first number."""
    for name in names:
        package = LOGGERS.get(name).package
        check([package] if package else [], "track", f"LOG.TO {name}")


class Loggers:
    """All loggers of a run together. One that fails is given up with one warning, unless it is `needed`."""

    def __init__(self, names: Sequence[str], run: LoggedRun) -> None:
        """Begin all of them.

        Args:
            names: of `LOG.TO`.
            run: whose numbers are logged.
        """
        self._loggers: dict[str, Logger] = {}
        for name in dict.fromkeys(names):
            kind = LOGGERS.get(name)
            try:
                self._loggers[name] = kind(run)
            except Exception as error:
                self._give_up(name, kind, error)

    @property
    def draws(self) -> bool:
        """Whether anybody takes figures."""
        return any(not logger.needed for logger in self._loggers.values())

    def log(self, values: Mapping[str, float], step: int) -> None:
        """See `Logger.log`."""
        self._each(lambda logger: logger.log(values, step))

    def end_training(self) -> None:
        """See `Logger.end_training`."""
        self._each(lambda logger: logger.end_training())

    def result(self, result: RunResult) -> None:
        """See `Logger.result`."""
        self._each(lambda logger: logger.result(result))

    def abort(self, *, stopped: bool) -> None:
        """See `Logger.abort`."""
        self._each(lambda logger: logger.abort(stopped=stopped))

    def close(self) -> None:
        """See `Logger.close`."""
        self._each(lambda logger: logger.close())

    def _each(self, act: Callable[[Logger], None]) -> None:
        for name, logger in list(self._loggers.items()):
            try:
                act(logger)
            except Exception as error:
                if not logger.needed:
                    del self._loggers[name]
                self._give_up(name, type(logger), error)

    def _give_up(self, name: str, kind: type[Logger], error: Exception) -> None:
        if kind.needed:
            raise error
        why = describe_os_error(error) if isinstance(error, OSError) and error.filename else str(error)
        why = " ".join(why.split())[:300]
        warnings.warn(f"LOG.TO: {name}: {why or type(error).__name__}; the run goes on without it", stacklevel=4)
