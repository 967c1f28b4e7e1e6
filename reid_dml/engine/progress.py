"""What a training run says while it works: a progress bar or plain lines, TensorBoard and metrics.jsonl."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from reid_dml.logs import write_line
from reid_dml.timing import duration

_LINE_SECONDS = 10  # between two plain lines, at least


@dataclass(frozen=True)
class Interval:
    """The steps between two lines of the log, up to `step`."""

    step: int
    images_per_step: int
    networks: Sequence[Mapping[str, float]]  # each network's mean metrics, in cohort order
    learning_rates: Sequence[float]  # each network's, of the last step
    extra: Mapping[str, float]  # values of the whole cohort
    # Test metrics at `step` by name: of each network in cohort order ("networks"), of the "ensemble" if there is one.
    test: Mapping[str, Any] = field(default_factory=dict)
    test_seconds: float = 0.0  # that measuring them took


class Progress:
    """Writes a line for every log interval to all three; only process 0 has one. A context manager."""

    def __init__(self, metrics_file: Path, board_folder: Path, *, start: int, total: int) -> None:
        """Continue the files behind step `start` of `total`.

        Args:
            metrics_file: JSON lines are appended to it.
            board_folder: where TensorBoard's events go.
            start: steps taken already.
            total: steps of the whole run.
        """
        from torch.utils.tensorboard import SummaryWriter  # slow to import: only for training

        self._hook, threading.excepthook = threading.excepthook, self._quiet_disk_errors
        self.file = metrics_file.open("a", encoding="utf-8")
        self.board = SummaryWriter(str(board_folder), purge_step=start + 1)
        # Only on a terminal: in a file, each of its states would stay behind the one before.
        self.bar = tqdm(total=total, initial=start, unit="step", dynamic_ncols=True, smoothing=0.05, disable=None)
        self.start, self.step, self.total = start, start, total
        self.last = self.started = time.perf_counter()
        self.said = -float("inf")  # when the last plain line was written
        self.charts = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # What the error says is enough: TensorBoard's thread may have failed for the same reason.
        with suppress(*(() if kind is None else (OSError,))):
            self.close()

    def log(self, interval: Interval) -> None:
        """Record an interval that ends here."""
        step, networks = interval.step, interval.networks
        now = time.perf_counter()
        # A run that went on in the middle of an interval has been timed from there.
        seconds = now - self.last - interval.test_seconds
        speed = (step - self.step) * interval.images_per_step / max(seconds, 1e-9)
        self.last, self.step = now, step
        line: dict[str, Any] = {"step": step, "images_per_second": round(speed, 1), **interval.extra, "networks": []}
        for index, (metrics, rate) in enumerate(zip(networks, interval.learning_rates, strict=True)):
            line["networks"].append({**metrics, "learning_rate": rate})
            for name, value in (*metrics.items(), ("learning_rate", rate)):
                self.board.add_scalar(f"network_{index}/{name}", value, step)
        if interval.test:
            line["test"] = interval.test
            for label, metrics in metrics_by_label(interval.test).items():
                for name, value in metrics.items():
                    self.board.add_scalar(f"test/{label.replace(' ', '_')}/{name}", value, step)
        self.board.add_scalar("images_per_second", speed, step)
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        if not self.charts:
            self.board.add_custom_scalars(_charts([*networks[0], "learning_rate"]))
            self.charts = True
        losses = "/".join(f"{metrics['loss']:.3f}" for metrics in networks)
        accuracies = "/".join(f"{metrics['accuracy']:.0%}" for metrics in networks)
        what = f"loss {losses}, accuracy {accuracies}, {speed:.0f} images/s"
        self.bar.set_postfix_str(what, refresh=False)
        self.bar.update(step - self.bar.n)
        if self.bar.disable and (now - self.said >= _LINE_SECONDS or step == self.total):
            left = (self.total - step) * (now - self.started) / max(step - self.start, 1)
            write_line(f"step {step:,}/{self.total:,}  {what}, time left {duration(left)}", sys.stderr)
            self.said = now

    def close(self) -> None:
        """Flush and end all three."""
        self.bar.close()
        try:
            self.board.close()
        finally:
            self.file.close()
            threading.excepthook = self._hook

    def _quiet_disk_errors(self, failure: threading.ExceptHookArgs) -> None:
        """A disk error of TensorBoard's thread is raised again where the next value is written: no traceback here."""
        if not issubclass(failure.exc_type, OSError):
            self._hook(failure)


def record_result(board_folder: Path, step: int, options: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    """Give TensorBoard the metrics of a finished run, and its options as hyper-parameters.

    Args:
        board_folder: where its events are.
        step: at which the metrics stand.
        options: values by name; what is no number, truth value or text is written as text.
        metrics: by name.
    """
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    values = {
        name: value if isinstance(value, (bool, int, float, str)) else str(value) for name, value in options.items()
    }
    with SummaryWriter(str(board_folder)) as board:
        for summary in hparams(values, dict(metrics)):
            board._get_file_writer().add_summary(summary)
        for name, value in metrics.items():
            board.add_scalar(name, value, step)


def metrics_by_label(test: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """The metrics of `Interval.test` by label: `network 0` and so on, `ensemble`."""
    rows = {f"network {index}": metrics for index, metrics in enumerate(test["networks"])}
    return rows | ({"ensemble": test["ensemble"]} if "ensemble" in test else {})


def _charts(names: Sequence[str]) -> dict[str, dict[str, list[Any]]]:
    """TensorBoard's layout of custom charts: one a quantity, with all networks."""
    return {"all networks": {name: ["Multiline", [rf"network_\d+/{name}$"]] for name in names}}
