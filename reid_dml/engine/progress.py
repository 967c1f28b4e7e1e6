"""What a training run says while it works: a progress bar or plain lines, loggers and metrics.jsonl."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from reid_dml.cohort_metrics import metrics_by_label
from reid_dml.engine.loggers import Loggers
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
    """Writes a line for every log interval to all of them; only process 0 has one. A context manager."""

    def __init__(self, metrics_file: Path, loggers: Loggers, *, start: int, total: int) -> None:
        """Continue the files behind step `start` of `total`.

        Args:
            metrics_file: JSON lines are appended to it.
            loggers: take the same numbers.
            start: steps taken already.
            total: steps of the whole run.
        """
        self.file, self.loggers = metrics_file.open("a", encoding="utf-8"), loggers
        # Only on a terminal: in a file, each of its states would stay behind the one before.
        self.bar = tqdm(total=total, initial=start, unit="step", dynamic_ncols=True, smoothing=0.05, disable=None)
        self.start, self.step, self.total = start, start, total
        self.last = self.started = time.perf_counter()
        self.said = -float("inf")  # when the last plain line was written

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # What the error says is enough: a logger may have failed for the same reason.
        with suppress(*(() if kind is None else (OSError,))):
            self.close()

    def sync(self) -> None:
        """Bring the lines that were written to the disk."""
        os.fsync(self.file.fileno())  # each line was flushed

    def log(self, interval: Interval) -> None:
        """Record an interval that ends here."""
        step, networks = interval.step, interval.networks
        now = time.perf_counter()
        # A run that went on in the middle of an interval has been timed from there.
        seconds = now - self.last - interval.test_seconds
        speed = (step - self.step) * interval.images_per_step / max(seconds, 1e-9)
        self.last, self.step = now, step
        values: dict[str, float] = {}
        line: dict[str, Any] = {"step": step, "images_per_second": round(speed, 1), **interval.extra, "networks": []}
        for index, (metrics, rate) in enumerate(zip(networks, interval.learning_rates, strict=True)):
            line["networks"].append({**metrics, "learning_rate": rate})
            values |= {f"network_{index}/{name}": value for name, value in line["networks"][-1].items()}
        if interval.test:
            line["test"] = interval.test
            for label, metrics in metrics_by_label(interval.test).items():
                values |= {f"test/{label.replace(' ', '_')}/{name}": value for name, value in metrics.items()}
        self.loggers.log({**values, "images_per_second": speed}, step)
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
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
        """Flush and end all of them, but for what loggers are told of the result."""
        self.bar.close()
        try:
            self.loggers.end_training()
        finally:
            self.file.close()
