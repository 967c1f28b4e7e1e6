"""What a training run says while it works: a progress bar, TensorBoard and metrics.jsonl."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from reid_dml.runs.folder import RunFolder


class Progress:
    """One line a log interval, to all three; only process 0 has one."""

    def __init__(self, folder: RunFolder, start: int, total: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import: only for training

        self.file = folder.metrics_file.open("a", encoding="utf-8")
        self.board = SummaryWriter(str(folder.path), purge_step=start + 1)
        self.bar = tqdm(total=total, initial=start, unit="step", dynamic_ncols=True, smoothing=0.05)
        self.last, self.step = time.perf_counter(), start

    def log(
        self,
        step: int,
        images_per_step: int,
        networks: Sequence[Mapping[str, float]],
        learning_rates: Sequence[float],
        extra: Mapping[str, float],
    ) -> None:
        """Record an interval that ends here: each network's mean metrics and learning rate, further values."""
        now = time.perf_counter()
        # A run that went on in the middle of an interval has been timed from there.
        speed = (step - self.step) * images_per_step / max(now - self.last, 1e-9)
        self.last, self.step = now, step
        line: dict[str, Any] = {"step": step, "images_per_second": round(speed, 1), **extra, "networks": []}
        for index, (metrics, rate) in enumerate(zip(networks, learning_rates, strict=True)):
            line["networks"].append({**metrics, "learning_rate": rate})
            for name, value in (*metrics.items(), ("learning_rate", rate)):
                self.board.add_scalar(f"network_{index}/{name}", value, step)
        self.board.add_scalar("images_per_second", speed, step)
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        losses = "/".join(f"{metrics['loss']:.3f}" for metrics in networks)
        accuracies = "/".join(f"{metrics['accuracy']:.0%}" for metrics in networks)
        self.bar.set_postfix_str(f"loss {losses}, accuracy {accuracies}, {speed:.0f} images/s", refresh=False)
        self.bar.update(step - self.bar.n)

    def close(self) -> None:
        """Flush and end all three."""
        self.bar.close()
        self.board.close()
        self.file.close()
