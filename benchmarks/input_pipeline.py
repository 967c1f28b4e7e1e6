"""What input costs: our sources with augmentation beside a plain PIL + torchvision DataLoader, in turns in one run.

    python benchmarks/input_pipeline.py [--images 6400] [--repeats 5] [--workers 2] [--json out.json]

The images are drawn for the occasion. cifar: 32 x 32, batches of 64, reflect padding, crop and flip; the DataLoader
has them decoded in memory, as torchvision's own CIFAR data sets do. market: JPEG files of 128 x 64, batches of 32,
flip; the DataLoader decodes them. imagenet: a tenth as many JPEG files of 375 x 500, batches of 64, Inception's crops
to 224 x 224; ours are cut from 256 x 256. Ours is resident (all in memory) or streaming (read per batch from the
decoded cache). Beside them, the images that one ResNet-32 or one MobileNetV1 takes in training on this device.
"""

from __future__ import annotations

import statistics
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Neighbours: scripts find those by themselves.
from measuring import keep_record, new_parser, new_record, positive, seconds
from workload import benchmark_config, draw_images, training_step

from reid_dml.ending import run_command
from reid_dml.errors import UserError


@dataclass(frozen=True)
class Case:
    """Images and what is done with them."""

    network: str  # that trains on such images
    batch: int
    file: tuple[int, int]  # height and width, as of the next two
    stored: tuple[int, int]
    size: tuple[int, int]
    crop: str = "none"  # of the DataLoader, see `plain_loader`
    options: tuple[str, ...] = ()  # for ours to do the same
    in_memory: bool = False  # the DataLoader has the images decoded
    share: int = 1  # one of so many images is drawn


CASES = {
    "cifar": Case("resnet32_cifar", 64, (32, 32), (32, 32), (32, 32), "pad",
                  ("INPUT.PAD", "4", "INPUT.PAD_MODE", "reflect"), in_memory=True),
    "market": Case("mobilenet_v1", 32, (128, 64), (128, 64), (128, 64)),
    "imagenet": Case("mobilenet_v1", 64, (375, 500), (256, 256), (224, 224), "inception",
                     ("INPUT.CROP", "inception"), share=10),
}  # fmt: skip


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="default: all")
    parser.add_argument("--images", type=positive, default=6400, metavar="N", help="of each kind (imagenet: a tenth)")
    parser.add_argument("--workers", type=positive, default=2, metavar="N", help="of both (default: 2)")
    arguments = parser.parse_args()

    import torch

    from reid_dml.device import resolve_device

    device = resolve_device("auto")
    torch.set_flush_denormal(True)
    record = new_record("input_pipeline", device)
    record |= {"repeats": arguments.repeats, "workers": arguments.workers, "images": arguments.images, "cases": {}}
    for name in arguments.cases:
        with tempfile.TemporaryDirectory() as folder:
            runs = ways(CASES[name], Path(folder), arguments.images, arguments.workers, device)
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


def ways(case: Case, folder: Path, images: int, workers: int, device: str) -> dict[str, Callable[[], float]]:
    """By name, functions that bring a set's images to the device once and return how many they did in a second."""
    from plain_loader import plain_loader

    from reid_dml.data.pipeline.augment import AugmentSpec, augment
    from reid_dml.data.pipeline.sources import make_source

    steps = images // case.share // case.batch
    if not steps:
        raise UserError(f"--images: {images} are too few for a batch; at least {case.share * case.batch} are needed")
    count = steps * case.batch
    records = draw_images(folder / "images", count, case.file, ".png" if case.in_memory else ".jpg")
    options = [
        *case.options, "DATA.STORED_SIZE", str([*case.stored]), "INPUT.SIZE", str([*case.size]), "DATA.WORKERS",
        str(workers), "TRAIN.BATCH_SIZE", str(case.batch), "COHORT.NETWORKS", str([case.network] * 2),
    ]  # fmt: skip

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
    loader = plain_loader(paths, case.size, case.batch, workers, crop=case.crop, decoded=case.in_memory)
    step = training_step(case.network, case.size, case.batch, device)
    return {
        "resident": ours("resident"),
        "streaming": ours("streaming"),
        "DataLoader": lambda: rate((images.to(device, non_blocking=True) for images, _ in loader), count, device),
        f"{case.network} training": lambda: rate((step() for _ in range(8)), 8 * case.batch, device),
    }


def rate(batches: Iterator[object], count: int, device: str) -> float:
    """Images a second."""
    return count / seconds(lambda: deque(batches, maxlen=0), device)


if __name__ == "__main__":
    run_command(main)
