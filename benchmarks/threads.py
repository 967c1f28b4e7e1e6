"""Training of the quickstart with other work on the machine and without: how threads wait, and how many they are.

    python benchmarks/threads.py [--busy 2] [--seconds 3] [--repeats 5] [--json FILE]

The ways take turns, each a process of its own that trains for some seconds at a time; first alone, then beside busy
processes. "default" is what a command does: all free cores, threads asleep after a short wait. "spinning" is GNU's
OpenMP left alone, "asleep" waits asleep from the first, "one thread" is what `THREADS 1` gives. Only ratios within a
turn mean anything on a machine that others use. They start one after another: a command takes the cores that are free
then.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from measuring import keep_record, new_parser, new_record, positive

from reid_dml.ending import run_command

ALL = os.cpu_count() or 1
# Threads (0: as a command chooses) and variables of the environment.
WAYS: dict[str, tuple[int, dict[str, str]]] = {
    "default": (0, {}),
    "one thread": (1, {}),
    "spinning": (ALL, {"GOMP_SPINCOUNT": "300000"}),
    "asleep": (ALL, {"OMP_WAIT_POLICY": "passive"}),
}
_CONFIG = Path(__file__).resolve().parents[1] / "configs" / "quickstart.yml"


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("--busy", type=positive, default=2, metavar="N", help="busy processes (default: 2)")
    parser.add_argument("--seconds", type=positive, default=3, metavar="N", help="of one measurement (default: 3)")
    parser.add_argument("--train", help=argparse.SUPPRESS)  # what a process started here does: its threads and folder
    arguments = parser.parse_args()
    if arguments.train:
        threads, _, folder = arguments.train.partition(":")
        train(int(threads), Path(folder))
        return
    record = new_record("threads", "cpu") | {"repeats": arguments.repeats, "busy": arguments.busy, "company": {}}
    with tempfile.TemporaryDirectory() as folder:
        for company in (0, arguments.busy):
            rates = measure(company, arguments.seconds, arguments.repeats, folder)
            best = [max(turn) for turn in zip(*rates.values(), strict=True)]
            found = record["company"][str(company)] = {}
            for name, own in rates.items():
                slower = statistics.median(most / rate for most, rate in zip(best, own, strict=True))
                found[name] = {"images_per_second": statistics.median(own), "times_slower_than_best": slower}
                print(f"beside {company} busy processes, {name}: {statistics.median(own):.0f} images/s, {slower:.2f} "
                      "times slower than the best of its turn", flush=True)  # fmt: skip
    keep_record(arguments.json, record)


def measure(company: int, seconds: int, repeats: int, folder: str) -> dict[str, list[float]]:
    """Images a second of every way, turn by turn."""
    with ExitStack() as stack:
        for _ in range(company):
            stack.enter_context(ended([sys.executable, "-c", "while True: pass"], {}))
        running = {}
        for name, (threads, variables) in WAYS.items():
            command = [sys.executable, __file__, "--train", f"{threads}:{folder}"]
            running[name] = stack.enter_context(ended(command, variables))
            rate(name, running[name], seconds, folder)  # which waits for the start
        rates: dict[str, list[float]] = {name: [] for name in running}
        for _ in range(repeats):
            for name, process in running.items():
                rates[name].append(rate(name, process, seconds, folder))
        return rates


def rate(name: str, process: subprocess.Popen[str], seconds: int, folder: str) -> float:
    """Images a second of a running process over so many seconds."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()
    while not (line := process.stdout.readline()).startswith("rate "):  # decoding says so first
        if not line:
            raise RuntimeError(f"{name}: ended; run {__file__} --train 1:{folder} to see why")
    return float(line.split()[1])


@contextmanager
def ended(command: list[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that answers on its output, and is ended with the block."""
    own = {key: value for key, value in os.environ.items() if key not in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=own | variables,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def train(threads: int, folder: Path) -> None:
    """For every line of the input, so many seconds of training; prints images a second."""
    from reid_dml.commands.training import build_training
    from reid_dml.config import load_config
    from reid_dml.data.sets import load_data
    from reid_dml.device import prepare_training
    from reid_dml.engine.trainer import Trainer
    from reid_dml.threads import use_threads

    cfg = load_config(_CONFIG, ["DATA.ROOT", str(folder / "data"), "OUTPUT_DIR", str(folder / "run"), "DEVICE", "cpu"])
    use_threads(threads)
    prepare_training()
    trainer = Trainer(build_training(cfg, load_data(cfg), "cpu"), total_steps=1_000_000)
    for _ in range(5):  # kernels chosen
        trainer.advance()
    for line in sys.stdin:
        started, first = time.perf_counter(), trainer.step
        while time.perf_counter() - started < float(line):
            trainer.advance()
        taken = (trainer.step - first) * cfg.TRAIN.BATCH_SIZE
        print(f"rate {taken / (time.perf_counter() - started)}", flush=True)


if __name__ == "__main__":
    run_command(main)
