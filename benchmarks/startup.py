"""What a command takes before it works: an answer to --help, and training up to its first step.

    python benchmarks/startup.py [--config-file configs/quickstart.yml] [--repeats 5] [--json FILE] [KEY VALUE ...]

Every measurement is a process of its own, as a user starts it, from the start to the first line of metrics.jsonl. One
run goes before, so that images are decoded and files are in memory.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Neighbours: scripts find those by themselves.
from measuring import keep_record, new_parser, new_record, seconds

from reid_dml.ending import run_command
from reid_dml.errors import UserError

_TRAIN = Path(__file__).resolve().parents[1] / "tools" / "train_net.py"


def main() -> None:
    parser = new_parser(__doc__)
    default = "configs/quickstart.yml"
    parser.add_argument("--config-file", default=default, metavar="FILE", help=f"default: {default}")
    parser.add_argument("options", nargs="*", metavar="KEY VALUE", help="options that override the file")
    arguments = parser.parse_intermixed_args()

    from reid_dml.config import load_config
    from reid_dml.device import resolve_device

    experiment = load_config(arguments.config_file, arguments.options).EXPERIMENT
    device = resolve_device("auto")
    record = new_record("startup", device) | {"repeats": arguments.repeats, "seconds": {}}
    ways = {
        "--help": lambda: help_seconds(),
        f"{experiment}, first step": lambda: first_step_seconds(arguments.config_file, arguments.options),
    }
    for name, measure in ways.items():
        measure()
        found = [measure() for _ in range(arguments.repeats)]
        record["seconds"][name] = {"median": statistics.median(found), "range": [min(found), max(found)]}
        print(f"{name}: {statistics.median(found):.2f} s ({min(found):.2f} to {max(found):.2f})", flush=True)
    keep_record(arguments.json, record)


def help_seconds() -> float:
    """Seconds until train_net.py has explained itself."""
    command = [sys.executable, str(_TRAIN), "--help"]
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True))


def first_step_seconds(config: str, options: list[str]) -> float:
    """Seconds until train_net.py has logged its first step; it is ended there. Raises `UserError` with its refusal."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, str(_TRAIN), "--config-file", config, *options]
        command += ["OUTPUT_DIR", str(run), "TRAIN.LOG_INTERVAL", "1"]
        with (Path(folder) / "said").open("w+") as said:
            started = time.perf_counter()
            process = subprocess.Popen(command, stdout=said, stderr=said)
            try:
                while not (run / "metrics.jsonl").is_file() or not (run / "metrics.jsonl").stat().st_size:
                    if process.poll() is not None:
                        said.seek(0)
                        raise UserError(f"{config}: training ended before its first step: {said.read()[-300:]}")
                    time.sleep(0.005)
                return time.perf_counter() - started
            finally:
                process.kill()
                process.wait()


if __name__ == "__main__":
    run_command(main)
