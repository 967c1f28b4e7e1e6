"""What one training step asks of a device, counted instead of timed: the same numbers on every machine, without a GPU.

    python benchmarks/step_counts.py [--cases cifar market] [--compiled] [--when Now] [--json record.json]

"Operators" are the calls of torch's operators that compute or move numbers; views and allocations do not count. On a
GPU each of them is a kernel, or a few. With --compiled also the same step through torch.compile: the operators that
are left, such as convolutions, and the kernels that Inductor has generated for all others (those of its CPU back end;
a GPU's reductions may take two kernels each). MobileNets see 64 x 64 images: their size changes no count.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Neighbours: scripts find those by themselves.
from measuring import keep_record, new_parser, new_record
from operator_calls import counts_of

from reid_dml.ending import run_command

_AVERAGE = ("EMA.ENABLED", "True")
COHORTS: dict[str, tuple[str, ...]] = {
    "cifar": (
        "COHORT.NETWORKS", "[resnet32_cifar, resnet32_cifar]", "DATA.STORED_SIZE", "[32, 32]", "INPUT.SIZE", "[32, 32]",
        "TRAIN.BATCH_SIZE", "64", "OPTIM.NAME", "sgd", "COHORT.LR", "0.01", "INPUT.PAD", "4", "INPUT.PAD_MODE",
        "reflect", *_AVERAGE,
    ),
    "market": (
        "COHORT.NETWORKS", "[mobilenet_v1, mobilenet_v1]", "DATA.STORED_SIZE", "[64, 64]", "INPUT.SIZE", "[64, 64]",
        "TRAIN.BATCH_SIZE", "16", *_AVERAGE,
    ),
}  # fmt: skip


def main() -> None:
    parser = new_parser(__doc__, repeats=None)
    parser.add_argument("--cases", nargs="+", choices=COHORTS, default=[*COHORTS], help="default: all")
    parser.add_argument("--compiled", action="store_true", help="also the step through torch.compile (a minute each)")
    parser.add_argument("--when", default="Now", metavar="TEXT", help="what the page calls these numbers (Now)")
    arguments = parser.parse_args()
    record = new_record("step_counts", "cpu") | {"when": arguments.when, "cohorts": {}}
    for name in arguments.cases:
        found = {"plain": count(COHORTS[name])}
        if arguments.compiled:
            found["compiled"] = count([*COHORTS[name], "TRAIN.COMPILE", "True"])
        record["cohorts"][name] = found
        for way, counts in found.items():
            print(f"{name}, {way}: {counts['operators']} operators, {counts['kernels']} generated kernels")
            print("  " + ", ".join(f"{number} x {which}" for which, number in counts["calls"].items()), flush=True)
        keep_record(arguments.json, record)


def count(options: Sequence[str]) -> dict[str, Any]:
    """Operators and generated kernels of the third step of a cohort.

    Args:
        options: `KEY VALUE ...` of its config.
    """
    from workload import benchmark_config, draw_images, make_trainer

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cfg = benchmark_config(folder, options)
        size = (cfg.DATA.STORED_SIZE[0], cfg.DATA.STORED_SIZE[1])
        records = draw_images(folder / "images", max(100, cfg.TRAIN.BATCH_SIZE), size, ".png")
        training = make_trainer(cfg, records, "cpu").training
        for step in range(2):  # optimisers make their state, and what is compiled is compiled
            training.run_step(step)
        batches, scalars = training.batches(2), training.schedule.scalars(2)
        found = counts_of(lambda: training.step(batches, scalars))
        return {**found, "calls": dict(found["calls"].most_common(12))}


if __name__ == "__main__":
    run_command(main)
