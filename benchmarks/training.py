"""How fast a cohort trains: our loop beside a plain eager loop and one that a DataLoader feeds, in turns in one run.

    python benchmarks/training.py [--cases cifar market] [--variants] [--steps 20] [--repeats 5] [--json record.json]
    python benchmarks/training.py --sustained 5000      also so many steps of ours without a break (GPU: the default)

Ours is the loop of tools/train_net.py: batches from the source, augmentation, the mutual step, reports and the watch
on the losses. "Plain eager" is mutual learning as a tutorial writes it, on batches that are on the device and
augmented already; "DataLoader" is the same behind PIL, torchvision and worker processes. With --variants also our own
loop with one thing done differently. On a GPU also the captured step over and over, without anything between two of
them, and with all networks on one stream.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

# Neighbours: scripts find those by themselves.
from measuring import keep_record, new_parser, new_record, positive, seconds
from workload import benchmark_config, draw_images, make_trainer

from reid_dml.ending import run_command

Run = Callable[[int], None]  # so many steps


@dataclass(frozen=True)
class Case:
    """A cohort and its images."""

    networks: tuple[str, ...]
    size: tuple[int, int]
    batch: int
    options: tuple[str, ...] = ()
    cifar: bool = False  # images decoded in the DataLoader's memory, cropped at random places

    def overrides(self) -> list[str]:
        size = str([*self.size])
        strategy = "dml" if len(self.networks) > 1 else "independent"
        return [
            "COHORT.NETWORKS", str([*self.networks]), "DATA.STORED_SIZE", size, "INPUT.SIZE", size,
            "TRAIN.BATCH_SIZE", str(self.batch), "OBJECTIVE.STRATEGY", strategy, *self.options,
        ]  # fmt: skip


_CIFAR = ("OPTIM.NAME", "sgd", "COHORT.LR", "0.01", "INPUT.PAD", "4", "INPUT.PAD_MODE", "reflect")
_BFLOAT16 = ("TRAIN.PRECISION", "bfloat16")
CASES = {
    "cifar": Case(("resnet32_cifar",) * 2, (32, 32), 64, _CIFAR, cifar=True),
    "cifar_bfloat16": Case(("resnet32_cifar",) * 2, (32, 32), 64, (*_CIFAR, *_BFLOAT16), cifar=True),
    "market": Case(("mobilenet_v1",) * 2, (128, 64), 16),
    "market_bfloat16": Case(("mobilenet_v1",) * 2, (128, 64), 16, _BFLOAT16),
    "market_224": Case(("mobilenet_v1",) * 2, (224, 224), 16),
    "market_224_alone": Case(("mobilenet_v1",), (224, 224), 16),
    "market_224_five": Case(("mobilenet_v1",) * 5, (224, 224), 16),
    "wide": Case(("wrn_28_10",) * 2, (32, 32), 64, (*_CIFAR, *_BFLOAT16), cifar=True),
}
_ON_CPU = ("cifar", "cifar_bfloat16", "market", "market_bfloat16")
_ON_GPU = ("cifar", "market_224", "market_224_alone", "market_224_five", "wide")


def main() -> None:
    parser = new_parser(__doc__)
    default = f"default: {' '.join(_ON_CPU)}; on a GPU {' '.join(_ON_GPU)}"
    parser.add_argument("--cases", nargs="+", choices=CASES, help=default)
    parser.add_argument("--variants", action="store_true", help="also our loop with one thing done differently")
    parser.add_argument("--images", type=positive, default=2048, metavar="N", help="images drawn (default: 2048)")
    parser.add_argument("--steps", type=positive, metavar="N", help="of one measurement (default: 20, on a GPU 500)")
    parser.add_argument("--sustained", type=int, metavar="N", help="steps of ours in one go (default: 0, GPU 5000)")
    cores = os.cpu_count() or 1
    parser.add_argument("--workers", type=positive, default=cores, metavar="N", help=f"of the DataLoader ({cores})")
    arguments = parser.parse_args()

    from reid_dml.device import prepare_training, resolve_device
    from reid_dml.errors import UserError

    if arguments.images < (least := max(case.batch for case in CASES.values())):
        raise UserError(f"--images: {arguments.images} are less than a batch; at least {least} are needed")
    device = resolve_device("auto")
    prepare_training()
    if arguments.steps is None:  # enough to be long beside the wait at the end of a measurement
        arguments.steps = 500 if device.startswith("cuda") else 20
    if arguments.sustained is None:
        arguments.sustained = 5000 if device.startswith("cuda") else 0
    record = new_record("training", device) | {key: getattr(arguments, key) for key in ("steps", "repeats", "workers")}
    record["cases"] = {}
    for name in arguments.cases or (_ON_GPU if device.startswith("cuda") else _ON_CPU):
        with tempfile.TemporaryDirectory() as folder:
            record["cases"][name] = measure(CASES[name], Path(folder), device, arguments)
        show(name, record["cases"][name])
        keep_record(arguments.json, record)


def measure(case: Case, folder: Path, device: str, arguments: argparse.Namespace) -> dict:
    """Steps a second of every way of one case, and the ratios of ours to the others."""
    records = draw_images(folder / "images", arguments.images, case.size, ".png" if case.cifar else ".jpg")
    runs = {"ours": ours(case, records, folder, device)}
    runs["plain eager"], runs["DataLoader"] = plain(case, records, folder, device, arguments.workers)
    if device.startswith("cuda"):
        runs["the graph alone"] = replays(case, records, folder, device)
        if len(case.networks) > 1:
            runs["one stream"] = ours(case, records, folder, device, change=one_stream)
    if arguments.variants:
        runs |= variants(case, records, folder, device)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        rate(run, 5, device)  # warm-up: kernels chosen, workers started, the graph captured
    for _ in range(arguments.repeats):
        for name, run in runs.items():
            rates[name].append(rate(run, arguments.steps, device))
    ratios = {
        f"ours / {name}": [own / other for own, other in zip(rates["ours"], found, strict=True)]
        for name, found in rates.items()
        if name != "ours"
    }
    operations = step_operations(case)
    further: dict[str, object] = {}
    if arguments.sustained:
        further["sustained"] = {"steps": arguments.sustained,
                                "steps_per_second": rate(runs["ours"], arguments.sustained, device)}  # fmt: skip
    if "the graph alone" in rates:
        further["idle_share"] = max(0.0, 1 - statistics.median(ratios["ours / the graph alone"]))
    return {
        "networks": list(case.networks),
        "size": list(case.size),
        "batch": case.batch,
        "precision": "bfloat16" if case.options[-2:] == _BFLOAT16 else "float32",
        "steps_per_second": {name: statistics.median(found) for name, found in rates.items()},
        "ratios": {name: {"median": statistics.median(found), "range": [min(found), max(found)]}
                   for name, found in ratios.items()},
        **further,
        "operations_per_step": operations,
        "share_of_matrix_rate": statistics.median(rates["ours"]) * operations / matrix_rate(case, device),
    }  # fmt: skip


def ours(case: Case, records: list, folder: Path, device: str, options: Sequence[str] = (), change=None) -> Run:
    trainer = make_trainer(benchmark_config(folder, [*case.overrides(), *options]), records, device)
    if change is not None:
        change(trainer)

    def run(steps: int) -> None:
        for _ in range(steps):
            trainer.advance()

    return run


def one_stream(trainer) -> None:
    from reid_dml.mutual.streams import MemberStreams

    trainer.training.cohort.streams = MemberStreams()


def variants(case: Case, records: list, folder: Path, device: str) -> dict[str, Run]:
    """Our loop with one thing done differently."""
    import torch

    def make(options: Sequence[str] = (), change=None) -> Run:
        return ours(case, records, folder, device, options, change)

    found = {"contiguous layout": make(["TRAIN.CHANNELS_LAST", "False"])}
    found["recomputed activations"] = make(["TRAIN.RECOMPUTE", "True"])  # and without a graph
    if device.startswith("cuda"):
        found["no graph"] = make(["TRAIN.GRAPH", "False"])
    torch._dynamo.config.cache_size_limit = 64  # as many networks of one class
    found["plain eager, compiled"] = plain(case, records, folder, device, compiled=True)[0]
    found["torch.compile"] = make(["TRAIN.COMPILE", "True"])
    return found


def replays(case: Case, records: list, folder: Path, device: str) -> Run:
    """The captured step over and over, without batches and reports: what ours loses beside it, the GPU is idle."""
    trainer = make_trainer(benchmark_config(folder, case.overrides()), records, device)

    def run(steps: int) -> None:
        for _ in range(steps):
            if trainer.training.step.replay is None:
                trainer.advance()  # until it is captured
            else:
                trainer.training.step.replay()

    return run


def plain(
    case: Case,
    records: list,
    folder: Path,
    device: str,
    workers: int = 1,
    *,
    compiled: bool = False,
    options: Sequence[str] = (),
) -> tuple[Run, Run]:
    """The eager loop on batches that are there already, and behind a DataLoader."""
    import torch
    from plain_loader import plain_loader
    from plain_step import plain_step

    from reid_dml.runs.networks import build_network

    cfg = benchmark_config(folder, [*case.overrides(), *options])
    networks = [
        build_network(cfg, index, 100).to(device).to(memory_format=torch.channels_last).train()
        for index in range(len(cfg.COHORT.NETWORKS))
    ]
    if compiled:
        for network in networks:
            network.compile()
    kind = partial(torch.optim.SGD, momentum=0.9) if cfg.OPTIM.NAME == "sgd" else torch.optim.Adam
    optimizers = [kind(network.parameters(), lr=cfg.COHORT.LR[0]) for network in networks]
    step = plain_step(networks, optimizers, bfloat16=cfg.TRAIN.PRECISION == "bfloat16")
    paths, crop = [record.path for record in records], "pad" if case.cifar else "none"
    size = (cfg.INPUT.SIZE[0], cfg.INPUT.SIZE[1])
    loader = plain_loader(paths, size, cfg.TRAIN.BATCH_SIZE, workers, crop=crop, decoded=case.cifar)

    def prepare(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = (tensor.to(device, non_blocking=True) for tensor in batch)
        return images.contiguous(memory_format=torch.channels_last), labels

    there = [prepare(batch) for batch in itertools.islice(loader, 4)]
    endless = itertools.chain.from_iterable(itertools.repeat(loader))

    def eager(steps: int) -> None:
        for number in range(steps):
            step(*there[number % len(there)])

    def fed(steps: int) -> None:
        for batch in itertools.islice(endless, steps):
            step(*prepare(batch))

    return eager, fed


def rate(run: Run, steps: int, device: str) -> float:
    """Steps a second."""
    return steps / seconds(lambda: run(steps), device)


def step_operations(case: Case) -> int:
    """Multiplications and additions of forward and backward passes of one step."""
    from reid_dml.models.summary import summarize

    macs = sum(summarize(name, case.size, 100).macs for name in case.networks)
    return 2 * 3 * macs * case.batch  # the backward pass does a forward's work twice


def matrix_rate(case: Case, device: str) -> float:
    """Operations a second of large matrix products at the case's precision, measured here."""
    import torch

    size = 8192 if device.startswith("cuda") else 2048
    dtype = torch.bfloat16 if case.options[-2:] == _BFLOAT16 else torch.float32
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def run(times: int) -> None:
        for _ in range(times):
            left @ right

    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32  # as the convolutions
    rate(run, 3, device)
    best = max(rate(run, 5, device) for _ in range(3))
    torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * size**3 * best


def show(name: str, found: dict) -> None:
    print(f"\n{name}: {' + '.join(found['networks'])}, {' x '.join(map(str, found['size']))}, batch {found['batch']}, "
          f"{found['precision']}")  # fmt: skip
    for way, speed in found["steps_per_second"].items():
        ratio = found["ratios"].get(f"ours / {way}")
        beside = (
            f"   ours / this {ratio['median']:.2f} ({ratio['range'][0]:.2f} to {ratio['range'][1]:.2f})"
            if ratio
            else ""
        )
        print(f"  {way:24} {speed:8.2f} steps/s{beside}", flush=True)
    if "sustained" in found:
        print(f"  {found['sustained']['steps']:,} steps of ours in one go: "
              f"{found['sustained']['steps_per_second']:.2f} steps/s")  # fmt: skip
    if "idle_share" in found:
        print(f"  {found['idle_share']:.1%} of the time between two captured steps")
    print(f"  {found['share_of_matrix_rate']:.0%} of the rate of large matrix products")


if __name__ == "__main__":
    run_command(main)
