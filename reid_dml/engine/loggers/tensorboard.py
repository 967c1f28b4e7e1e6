"""TensorBoard's events in the run folder."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from reid_dml.engine.loggers import LoggedRun, Logger, RunResult, register_logger


@register_logger("tensorboard")
class TensorBoard(Logger):
    """Scalars, a chart of all networks for each quantity, and at the end the hyper-parameters with the metrics."""

    needed: ClassVar[bool] = True

    def __init__(self, run: LoggedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import: only for training

        self._hook, threading.excepthook = threading.excepthook, self._quiet_disk_errors
        self.run, self.charts, self.ended = run, False, False
        self.board = SummaryWriter(str(run.folder), purge_step=run.start + 1)

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.board.add_scalar(name, value, step)
        own = [name.partition("/")[2] for name in values if name.startswith("network_0/")]
        if own and not self.charts:
            self.board.add_custom_scalars(_charts(own))
            self.charts = True

    def end_training(self) -> None:
        if self.ended:
            return
        self.ended = True
        try:
            self.board.close()
        finally:
            threading.excepthook = self._hook

    def result(self, result: RunResult) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        values = {
            name: value if isinstance(value, (bool, int, float, str)) else str(value)
            for name, value in self.run.options.items()
        }
        with SummaryWriter(str(self.run.folder)) as board:
            for summary in hparams(values, dict(result.metrics)):
                board._get_file_writer().add_summary(summary)
            for name, value in result.metrics.items():
                board.add_scalar(name, value, result.step)
            if result.markdown:
                board.add_text("result", result.markdown, result.step)

    def close(self) -> None:
        self.end_training()

    def _quiet_disk_errors(self, failure: threading.ExceptHookArgs) -> None:
        """A disk error of TensorBoard's thread is raised again where the next value is written: no traceback here."""
        if not issubclass(failure.exc_type, OSError):
            self._hook(failure)


def _charts(names: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """TensorBoard's layout of custom charts: one a quantity, with all networks."""
    return {"all networks": {name: ["Multiline", [rf"network_\d+/{name}$"]] for name in names}}
