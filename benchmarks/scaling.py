"""Speed and memory of training against the number of networks, the batch, the image size and the processes.

    python benchmarks/scaling.py [--network mobilenet_v1] [--groups NAME ...]
                                 [--steps 8] [--repeats 3] [--json record.json]

Every point is a process of its own, so that no point keeps another's memory. Memory is the largest during training
above what the process held before it built the cohort; on a GPU, what torch reserved there at most. The points of
"processes" have one CPU thread each: "same cohort" shares two networks over more processes (strong scaling), "two
networks each" grows with them (weak scaling).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from measuring import keep_record, memory_above, new_parser, new_record, positive, seconds
from workload import benchmark_config, draw_images, make_trainer

from reid_dml.ending import run_command


@dataclass(frozen=True)
class Point:
    """One measurement; `size` is height and width."""

    network: str
    size: tuple[int, int]
    networks: int = 2
    batch: int = 16
    recompute: bool = False
    eager: bool = False  # without a graph, which recomputing cannot have either
    processes: int = 1
    threads: int = 0  # of each process; 0: torch's own choice


def groups(network: str, size: tuple[int, int], processes: int) -> dict[str, list[Point]]:
    """The points by what varies."""
    height, width = size
    ranks = [1, *range(2, processes + 1)]
    return {
        "networks": [Point(network, size, networks=count) for count in range(1, 9)],
        "batch": [Point(network, size, batch=batch) for batch in (8, 16, 32, 64)],
        "size": [Point(network, (height * k // 2, width * k // 2)) for k in (1, 2, 4)],
        "recompute": [
            Point(network, size, networks=count, batch=32, recompute=again, eager=True)
            for count in (2, 4)
            for again in (False, True)
        ],
        "same cohort": [Point(network, size, processes=count, threads=1) for count in ranks],
        "two networks each": [Point(network, size, networks=2 * count, processes=count, threads=1) for count in ranks],
    }


def main() -> None:
    parser = new_parser(__doc__, repeats=3)
    parser.add_argument("--network", default="mobilenet_v1", metavar="NAME", help="default: mobilenet_v1")
    parser.add_argument("--size", nargs=2, type=positive, default=[128, 64], metavar=("H", "W"), help="default: 128 64")
    parser.add_argument("--groups", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--processes", type=positive, default=2, metavar="N", help="at most (default: 2)")
    parser.add_argument("--steps", type=positive, default=8, metavar="N", help="steps of one measurement (default: 8)")
    parser.add_argument("--point", help=argparse.SUPPRESS)  # what a process started here measures
    arguments = parser.parse_args()
    if arguments.point:
        given = json.loads(arguments.point)
        measure(Point(**given | {"size": tuple(given["size"])}), arguments.steps, arguments.repeats)
        return

    from reid_dml.device import resolve_device
    from reid_dml.errors import UserError

    device = resolve_device("auto")
    processes = arguments.processes
    if device.startswith("cuda"):
        import torch

        processes = min(processes, torch.cuda.device_count())  # a GPU serves one process
    known = groups(arguments.network, tuple(arguments.size), processes)
    unknown = set(arguments.groups or ()) - set(known)
    if unknown:
        raise UserError(f"--groups: {min(unknown)!r} is not one of {', '.join(known)}")
    record = new_record("scaling", device)
    record |= {"steps": arguments.steps, "repeats": arguments.repeats, "groups": {}}
    for name in arguments.groups or known:
        print(f"\n{name}")
        rows = record["groups"][name] = []
        for point in known[name]:
            found = in_a_process(point, arguments.steps, arguments.repeats)
            rows.append(asdict(point) | found)
            again = ", activations recomputed" if point.recompute else ""
            print(f"  networks: {point.networks}, processes: {point.processes}, batch {point.batch}, "
                  f"{point.size[0]} x {point.size[1]}{again}: {found['steps_per_second']:.2f} steps/s, "
                  f"{found['memory_gb']:.2f} GB", flush=True)  # fmt: skip
        keep_record(arguments.json, record)


def in_a_process(point: Point, steps: int, repeats: int) -> dict:
    """The measurement of a point, made by processes of its own."""
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={point.processes}"]
    options = ["--point", json.dumps(asdict(point)), "--steps", str(steps), "--repeats", str(repeats)]
    done = subprocess.run(
        [sys.executable, *(start if point.processes > 1 else []), __file__, *options], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(point: Point, steps: int, repeats: int) -> None:
    """Print steps a second and memory as JSON, on process 0."""
    import torch

    from reid_dml.device import prepare_training, resolve_device
    from reid_dml.processes import processes, rank
    from reid_dml.threads import use_threads

    size = str([*point.size])
    with tempfile.TemporaryDirectory() as folder:
        cfg = benchmark_config(Path(folder), [
            "COHORT.NETWORKS", str([point.network] * point.networks), "DATA.STORED_SIZE", size, "INPUT.SIZE", size,
            "TRAIN.BATCH_SIZE", str(point.batch), "TRAIN.RECOMPUTE", str(point.recompute),
            "TRAIN.GRAPH", str(not point.eager),
            "OBJECTIVE.STRATEGY", "dml" if point.networks > 1 else "independent", "THREADS", str(point.threads),
        ])  # fmt: skip
        device = resolve_device(cfg.DEVICE)
        use_threads(cfg.THREADS)
        prepare_training()
        on_gpu = device.startswith("cuda")
        times: list[float] = []
        with processes(device):
            records = draw_images(Path(folder) / "images", 4 * point.batch, point.size, ".jpg")

            def train() -> None:
                trainer = make_trainer(cfg, records, device)

                def advance(count: int) -> None:
                    for _ in range(count):
                        trainer.advance()

                seconds(lambda: advance(5), device)  # warm-up: kernels chosen, the graph captured
                times.extend(seconds(lambda: advance(steps), device) for _ in range(repeats))

            memory = memory_above(train)
            if on_gpu:
                memory = torch.cuda.max_memory_reserved() / 1e9  # a graph keeps the memory that it was captured with
            if rank() == 0:
                print(json.dumps({"steps_per_second": steps / statistics.median(times), "memory_gb": memory}))


if __name__ == "__main__":
    run_command(main)
