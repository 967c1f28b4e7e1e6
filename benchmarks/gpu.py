"""Everything that wants measuring on a GPU, the most important first, in the minutes there are.

    python benchmarks/gpu.py --minutes 10 --json results/benchmarks/gpu.json
    python benchmarks/gpu.py --minutes 1 --tiny         the same on a CPU, with tiny networks: shows that it runs

Steps a second of tools/train_net.py's loop for several cohorts with one lever after the other, the GPU tests, image
extraction and ranking metrics. Every part has a time limit of its own; what exceeds it is stopped, and the others go
on. The record is written behind every part.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Neighbours: scripts find those by themselves.
from measuring import keep_record, new_parser, new_record, positive, seconds

from reid_dml.ending import run_command

_HERE = Path(__file__).resolve().parent
_LEAST = 5.0  # seconds that are worth beginning a part in


@dataclass(frozen=True)
class Part:
    """One measurement.

    Attributes:
        limit: seconds after which it is stopped.
        case: cohort of `training.CASES` whose steps are timed; empty: `script` is run instead.
        options: `KEY VALUE ...` on top.
        lever: what else is done differently, a key of `_LEVERS`.
        cohorts: so many cohorts at once, in turns on streams of their own.
        script: a function of this module by name.
    """

    limit: float
    case: str = ""
    options: tuple[str, ...] = ()
    lever: str = ""
    cohorts: int = 1
    script: str = ""


_COMPILED, _PLAIN = ("TRAIN.COMPILE", "True"), ("TRAIN.COMPILE", "False")
_BFLOAT16 = ("TRAIN.PRECISION", "bfloat16")
PARTS = {  # in the order of their importance
    "cifar, bfloat16, compiled": Part(90, "cifar", (*_BFLOAT16, *_COMPILED)),
    "market_224, bfloat16, compiled": Part(90, "market_224", (*_BFLOAT16, *_COMPILED)),
    "cifar, bfloat16, plain eager": Part(40, "cifar", _BFLOAT16, lever="plain eager"),
    "market_224, bfloat16, plain eager": Part(40, "market_224", _BFLOAT16, lever="plain eager"),
    "tests": Part(150, script="gpu_tests"),
    "cifar, float32": Part(40, "cifar", _PLAIN),
    "market_224, float32": Part(40, "market_224", _PLAIN),
    "cifar, float32, compiled": Part(90, "cifar", _COMPILED),
    "market_224, float32, compiled": Part(90, "market_224", _COMPILED),
    "cifar, bfloat16": Part(40, "cifar", (*_BFLOAT16, *_PLAIN)),
    "market_224, bfloat16": Part(40, "market_224", (*_BFLOAT16, *_PLAIN)),
    "wide, bfloat16, compiled": Part(120, "wide", _COMPILED),
    "cifar, bfloat16, compiled, one kernel a reduction": Part(
        90, "cifar", (*_BFLOAT16, *_COMPILED), lever="cooperative reductions"
    ),
    "cifar, bfloat16, compiled, one stream": Part(90, "cifar", (*_BFLOAT16, *_COMPILED), lever="one stream"),
    "cifar, bfloat16, compiled, two cohorts": Part(90, "cifar", (*_BFLOAT16, *_COMPILED), cohorts=2),
    "market_224_five, bfloat16, compiled": Part(150, "market_224_five", (*_BFLOAT16, *_COMPILED)),
    "extraction": Part(120, script="extraction"),
    "evaluation": Part(90, script="evaluation"),
    "cifar, bfloat16, contiguous layout": Part(40, "cifar", (*_BFLOAT16, *_PLAIN, "TRAIN.CHANNELS_LAST", "False")),
    "cifar, bfloat16, no graph": Part(40, "cifar", (*_BFLOAT16, *_PLAIN, "TRAIN.GRAPH", "False")),
}
# Smaller than small, for a CPU: no compiling, which takes its minute there.
_TINY = (
    "COHORT.NETWORKS", "[mobilenet_v1_0.25, mobilenet_v1_0.25]", "DATA.STORED_SIZE", "[32, 32]", "INPUT.SIZE",
    "[32, 32]", "TRAIN.BATCH_SIZE", "4", "TRAIN.COMPILE", "False",
)  # fmt: skip


def main() -> None:
    parser = new_parser(__doc__, repeats=None)
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N", help="to be done by then (default: 10)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS], metavar="NAME", help="default: all")
    parser.add_argument("--duration", type=positive, default=8, metavar="S", help="seconds of one timing (default: 8)")
    parser.add_argument("--tiny", action="store_true", help="tiny networks and few steps, on any machine")
    arguments = parser.parse_args()
    end = time.perf_counter() + 60 * arguments.minutes

    from reid_dml.device import resolve_device
    from reid_dml.errors import UserError

    device = resolve_device("auto")
    if device == "cpu" and not arguments.tiny:
        raise UserError("benchmarks/gpu.py: torch sees no GPU; add --tiny to see it run on a CPU")
    record = new_record("gpu", device) | {"minutes": arguments.minutes, "tiny": arguments.tiny, "parts": {}}
    worker = Worker(device, arguments.tiny, arguments.duration)
    for name in arguments.parts:
        left = end - time.perf_counter()
        found = {"missing": "no time left"} if left < _LEAST else worker.ask(name, min(PARTS[name].limit, left))
        record["parts"][name] = found
        print(f"{name}: " + ", ".join(f"{key} {_short(value)}" for key, value in found.items()), flush=True)
        keep_record(arguments.json, record)
    worker.stop()


class Worker:
    """A process that measures one part after the other, and is replaced where a part takes too long or breaks it."""

    def __init__(self, device: str, tiny: bool, duration: float) -> None:
        """No process yet.

        Args:
            device: where to measure.
            tiny: whether networks and sizes are tiny.
            duration: seconds of one timing.
        """
        self.arguments = device, tiny, duration
        self.process: Any = None

    def ask(self, name: str, limit: float) -> dict[str, Any]:
        """A part's numbers, or what is `missing` and why.

        Args:
            name: of the part.
            limit: seconds it may take.
        """
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.connection, theirs = context.Pipe()
            self.process = context.Process(target=serve, args=(theirs, *self.arguments), daemon=False)
            self.process.start()
            theirs.close()
        try:
            self.connection.send((name, limit))
            if self.connection.poll(limit):
                return self.connection.recv()
            reason = f"stopped after {limit:.0f} s"
        except (EOFError, ConnectionError):
            reason = "its process died"
        self.process.kill()
        self.stop()
        return {"missing": reason}

    def stop(self) -> None:
        """End the process; what it was to say has been said."""
        if self.process is not None:
            self.connection.close()
            self.process.join(5)
            self.process.kill()
            self.process = None


def serve(connection: Any, device: str, tiny: bool, duration: float) -> None:
    """Measure what is asked for, until the process is ended.

    Args:
        connection: parts by name and their limits come in here, and numbers go out.
        device, tiny, duration: see `Worker`.
    """
    from reid_dml.device import prepare_training

    prepare_training()
    while True:
        try:
            name, limit = connection.recv()
        except EOFError:
            return
        started = time.perf_counter()
        try:
            part = PARTS[name]
            found = globals()[part.script](device, tiny, limit) if part.script else steps(part, device, tiny, duration)
        except Exception as error:  # whatever it is: the other parts go on
            found = {"missing": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        connection.send({**found, "wall_seconds": time.perf_counter() - started})


def steps(part: Part, device: str, tiny: bool, duration: float) -> dict[str, Any]:
    """Steps a second, seconds that the first five took, memory, and whether compiling and the CUDA graph succeeded.

    "Plain eager" is mutual learning as a tutorial writes it, on batches that are on the device already.

    Args:
        part: what is trained.
        device, tiny, duration: see `Worker`.
    """
    import torch
    from training import CASES, one_stream, plain
    from workload import benchmark_config, draw_images, make_trainer

    case, on_gpu = CASES[part.case], device.startswith("cuda")
    options = [*case.overrides(), *part.options, *(_TINY if tiny else ())]
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as name, _inductor_options(part.lever):
        folder = Path(name)
        cfg = benchmark_config(folder, options)
        records = draw_images(folder / "images", 512, (cfg.DATA.STORED_SIZE[0], cfg.DATA.STORED_SIZE[1]), ".jpg")
        eager = plain(case, records, folder, device, options=options)[0] if part.lever == "plain eager" else None
        trainers = [] if eager else [make_trainer(cfg, records, device) for _ in range(part.cohorts)]
        streams = [torch.cuda.Stream() for _ in trainers] if on_gpu and part.cohorts > 1 else []
        if part.lever in ("one stream", "cooperative reductions"):
            for trainer in trainers:
                one_stream(trainer)

        def run(count: int) -> None:
            for _ in range(count):
                for number, trainer in enumerate(trainers):
                    with torch.cuda.stream(streams[number] if streams else None):
                        trainer.advance()
            if eager is not None:
                eager(count)

        first = seconds(lambda: run(5), device)
        rates: list[float] = []
        chunk = 1 if tiny else 100
        end = time.perf_counter() + (0.1 if tiny else duration)
        while not rates or time.perf_counter() < end:
            rates.append(chunk / seconds(lambda: run(chunk), device))
    rates.sort()
    found = {"steps_per_second": rates[len(rates) // 2] * part.cohorts, "first_seconds": first, "timings": len(rates)}
    members = [member for trainer in trainers for member in trainer.training.cohort.members]
    found["compiled"] = bool(members) and all(member.network.compiled for member in members)
    replays = [getattr(trainer.training.step, "replay", None) for trainer in trainers]
    found["graph"] = bool(replays) and None not in replays
    return found | ({"memory_gb": torch.cuda.max_memory_reserved() / 1e9} if on_gpu else {})


def _inductor_options(lever: str) -> Any:
    """A context in which Inductor generates code with the lever's options.

    Cooperative reductions wait for each other's blocks, which must all be on the GPU at once: on one stream only.
    """
    from contextlib import nullcontext

    if lever != "cooperative reductions":
        return nullcontext()
    from torch._inductor import config

    return config.patch({"split_reductions": False, "triton.cooperative_reductions": True})


def gpu_tests(device: str, tiny: bool, limit: float) -> dict[str, Any]:
    """The last line of the GPU tests, and those that failed.

    Args:
        device, tiny: see `Worker`; a CPU skips the tests.
        limit: seconds they may take.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "--no-header", str(_HERE.parent / "tests" / "test_gpu.py")]
    lines = _run(command, limit).splitlines()
    failed = [line.split(" - ")[0] for line in lines if line.startswith("FAILED ")]
    return {"summary": lines[-1].strip("= ") if lines else "nothing was said", "failed": failed}


def extraction(device: str, tiny: bool, limit: float) -> dict[str, Any]:
    """Images a second, as `benchmarks/extraction.py` has them.

    Args:
        device, tiny: see `Worker`.
        limit: seconds it may take.
    """
    import json

    size = ("--count", "16", "--network", "mobilenet_v1_0.25", "--size", "32", "32", "--batch", "8") if tiny else (
        "--count", "8192", "--size", "224", "224", "--workers", "8")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "extraction.json"
        _run([sys.executable, str(_HERE / "extraction.py"), *size, "--repeats", "1", "--json", str(file)], limit)
        record = json.loads(file.read_text())
    return {"images_per_second": record["images_per_second"], "waiting": record["waiting"]}


def evaluation(device: str, tiny: bool, limit: float) -> dict[str, Any]:
    """Seconds of exact ranking metrics at Market-1501's size on the device.

    Args:
        device, tiny: see `Worker`.
        limit: seconds it may take; not asked for.
    """
    from evaluation import SIZES, draw

    from reid_dml.ranking.metrics import evaluate_rankings

    query, gallery = draw(*((20, 100, 5) if tiny else SIZES["market"]))

    def metrics() -> None:
        evaluate_rankings(query, gallery, device=device)

    metrics()
    return {"seconds": min(seconds(metrics, device) for _ in range(3))}


def _run(command: Sequence[str], limit: float) -> str:
    """What a command prints. Its limit leaves the time to say so."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=max(1.0, limit - 2), cwd=_HERE.parent)
    return result.stdout


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} {_short(each)}" for key, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    run_command(main)
