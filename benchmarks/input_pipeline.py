"""What input costs: our sources with augmentation beside a plain PIL + torchvision DataLoader, in turns in one run.

    python benchmarks/input_pipeline.py [--images 6400] [--repeats 5] [--workers 2] [--json out.json]

The images are drawn for the occasion. cifar: 32 x 32, batches of 64, reflect padding, crop and flip; the DataLoader
has them decoded in memory, as torchvision's own CIFAR data sets do. market: JPEG files of 128 x 64, batches of 32,
flip; the DataLoader decodes them. Ours is resident (all in memory) or streaming (read per batch from the decoded
cache). Beside them, the images that one ResNet-32 and one MobileNetV1 take in training on this device.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from measuring import keep_record, new_parser, new_record  # neighbours: scripts find those by themselves
from workload import benchmark_config, draw_images, training_step

from reid_dml.errors import run_command

# Size, batch, extension of the files, options, network that trains on such images.
CASES = {
    "cifar": ((32, 32), 64, ".png", ["INPUT.PAD", "4", "INPUT.PAD_MODE", "reflect"], "resnet32_cifar"),
    "market": ((128, 64), 32, ".jpg", [], "mobilenet_v1"),
}


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("--images", type=int, default=6400, metavar="N", help="of each kind (default: 6400)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="of the DataLoader and ours (default: 2)")
    arguments = parser.parse_args()

    import torch

    from reid_dml.device import resolve_device

    device = resolve_device("auto")
    torch.set_flush_denormal(True)
    record = new_record("input_pipeline", device)
    record |= {"repeats": arguments.repeats, "workers": arguments.workers, "images": arguments.images, "cases": {}}
    for name in CASES:
        with tempfile.TemporaryDirectory() as folder:
            runs = ways(name, Path(folder), arguments.images, arguments.workers, device)
            rates: dict[str, list[float]] = {way: [] for way in runs}
            for run in runs.values():
                run()  # warm-up: workers started, cache filled, networks built
            for _ in range(arguments.repeats):
                for way, run in runs.items():
                    rates[way].append(run())
        medians = {way: statistics.median(found) for way, found in rates.items()}
        record["cases"][name] = {"images_per_second": medians, "ratios": {}}
        print(f"\n{name}: images/s, median of {arguments.repeats}")
        for way, median in medians.items():
            print(f"  {way:20} {median:10,.0f}   ({min(rates[way]):,.0f} to {max(rates[way]):,.0f})")
        for way in ("resident", "streaming"):
            for other in list(medians)[2:]:
                ratios = [ours / theirs for ours, theirs in zip(rates[way], rates[other], strict=True)]
                record["cases"][name]["ratios"][f"{way} / {other}"] = statistics.median(ratios)
                print(f"  {way} / {other}: {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")
    keep_record(arguments.json, record)


def ways(name: str, folder: Path, count: int, workers: int, device: str) -> dict[str, Callable[[], float]]:
    """By name, functions that bring a set's images to the device once and return how many they did in a second."""
    from plain_loader import plain_loader

    from reid_dml.data.pipeline.augment import AugmentSpec, augment
    from reid_dml.data.pipeline.sources import make_source

    size, batch, extension, options, network = CASES[name]
    records = draw_images(folder / "images", count, size, extension)
    options = [
        *options, "DATA.STORED_SIZE", str([*size]), "INPUT.SIZE", str([*size]), "DATA.WORKERS", str(workers),
        "TRAIN.BATCH_SIZE", str(batch), "COHORT.NETWORKS", f"[{network}, {network}]",
    ]  # fmt: skip
    steps = count // batch

    def ours(kind: str) -> Callable[[], float]:
        cfg = benchmark_config(folder, ["DATA.SOURCE", kind, *options])
        spec, classes = AugmentSpec.of(cfg), sorted({record.person_id for record in records})
        source = make_source(cfg, records, classes, AugmentSpec.num_draws, device)

        def batches() -> Iterator[object]:
            for step in range(steps):
                drawn = source.batch(step)
                yield augment(drawn.images, drawn.draws, spec)

        return lambda: rate(batches(), count, device)

    paths = [record.path for record in records]
    loader = plain_loader(paths, size, batch, workers, crop=name == "cifar", decoded=name == "cifar")
    step = training_step(network, size, batch, device)
    return {
        "resident": ours("resident"),
        "streaming": ours("streaming"),
        "DataLoader": lambda: rate((images.to(device, non_blocking=True) for images, _ in loader), count, device),
        f"{network} training": lambda: rate((step() for _ in range(8)), 8 * batch, device),
    }


def rate(batches: Iterator[object], count: int, device: str) -> float:
    """Images a second."""
    import torch

    started = time.perf_counter()
    for _ in batches:
        pass
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return count / (time.perf_counter() - started)


if __name__ == "__main__":
    run_command(main)
