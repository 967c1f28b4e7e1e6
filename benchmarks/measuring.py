"""What the benchmarks share: their options, time and memory of one call, and what every record says of the machine."""

from __future__ import annotations

import argparse
import resource
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any


def new_parser(description: str | None, *, repeats: int | None = 5) -> argparse.ArgumentParser:
    """A parser with the options of all benchmarks: `--json`, and `--repeats` where something is measured repeatedly."""
    from reid_dml.outputs import check_output

    def output(path: str) -> str:
        check_output(path)  # refused before anything is measured
        return path

    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if repeats is not None:
        say = f"measurements of each (default: {repeats})"
        parser.add_argument("--repeats", type=positive, default=repeats, metavar="N", help=say)
    parser.add_argument("--json", type=output, metavar="FILE", help="write the record to this file")
    return parser


def positive(text: str) -> int:
    """A whole number of 1 or more, for argparse, which refuses anything else in one line."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def keep_record(path: str | None, record: Mapping[str, Any]) -> None:
    """Write the record where `--json` says, if it was given."""
    from reid_dml.files import write_json

    if path:
        write_json(path, record)


def new_record(benchmark: str, device: str) -> dict[str, Any]:
    """A record's first fields, which are printed too. Sets the number of threads that they name."""
    from reid_dml.device import describe_device
    from reid_dml.threads import use_threads
    from reid_dml.versions import git_revision, versions

    use_threads()  # as commands do
    record: dict[str, Any] = {
        "benchmark": benchmark,
        "device": describe_device(device),
        "versions": versions(),
        "git_revision": git_revision(),
    }
    print(f"on {record['device']}; " + ", ".join(f"{name} {version}" for name, version in record["versions"].items()))
    return record


def seconds(run: Callable[[], object], device: str = "cpu") -> float:
    """Wall seconds of one call, and of what it gave the device to do."""
    started = time.perf_counter()
    run()
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()
    return time.perf_counter() - started


def memory_above(run: Callable[[], object]) -> float:
    """Largest resident memory during one call above what was held before, in GB, sampled every 2 ms."""
    peak, done = [resident()], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            peak[0] = max(peak[0], resident())

    before = peak[0]
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run()
    finally:
        done.set()
        watcher.join()
    return (peak[0] - before) / 1e9


def resident() -> int:
    """Resident memory of this process in bytes (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
