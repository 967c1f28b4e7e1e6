"""What extraction costs beside the networks: image files to features against the bare forward pass, in turns.

    python benchmarks/extraction.py [--images DIR] [--count 1024] [--network mobilenet_v1] [--networks 2]
                                    [--size 128 64] [--batch 128] [--repeats 5] [--json out.json]

"Bare" is the forward pass of the same networks on float batches of the same size that are in memory already, with all
of torch's threads. Extraction reads image files (decoding them, or from the decoded cache), prepares, computes and
brings the features back. Without --images the images are drawn for the occasion.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

# Neighbours: scripts find those by themselves.
from measuring import keep_record, new_parser, new_record, positive, seconds
from workload import draw_images

from reid_dml.ending import run_command

_SMALL = 16  # images that stay in a processor's cache from layer to layer


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("--images", metavar="DIR", help="folder of images, such as Market's bounding_box_test")
    parser.add_argument("--count", type=positive, default=1024, metavar="N", help="images of it (default: 1024)")
    parser.add_argument("--network", default="mobilenet_v1", metavar="NAME", help="default: mobilenet_v1")
    parser.add_argument("--networks", type=positive, default=2, metavar="K", help="so many of them (default: 2)")
    parser.add_argument("--size", nargs=2, type=positive, default=[128, 64], metavar=("H", "W"), help="default: 128 64")
    parser.add_argument("--batch", type=positive, default=128, metavar="N", help="images per batch (default: 128)")
    parser.add_argument("--workers", type=positive, default=2, metavar="N", help="that read images (default: 2)")
    arguments = parser.parse_args()

    import torch

    from reid_dml.data.image_paths import folder_records
    from reid_dml.data.pipeline.augment import AugmentSpec, augment
    from reid_dml.data.pipeline.cache import CachedImages
    from reid_dml.data.stored import ImageFiles, StoredImages, read_all
    from reid_dml.device import keep_freed_memory, resolve_device
    from reid_dml.features.extraction import extract_features
    from reid_dml.inference.speed import Speed
    from reid_dml.models import ReIDNetwork, build_backbone

    device = resolve_device("auto")
    torch.set_flush_denormal(True)
    keep_freed_memory()
    size, layout = tuple(arguments.size), torch.channels_last
    spec = AugmentSpec(size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    networks = {
        index: ReIDNetwork(build_backbone(arguments.network, size), 751).to(device).to(memory_format=layout).eval()
        for index in range(arguments.networks)
    }
    with tempfile.TemporaryDirectory() as folder:
        if arguments.images:
            records = folder_records(arguments.images)[: arguments.count]
        else:
            records = draw_images(Path(folder) / "images", arguments.count, size, ".jpg")
        files, cached = ImageFiles(records, size), CachedImages(records, size, Path(folder) / "cache")
        cached.fill()
        stored = torch.from_numpy(read_all(files, arguments.workers))
        prepared = [
            augment(part, None, spec).to(device).contiguous(memory_format=layout)
            for part in stored.split(arguments.batch)
        ]

        @torch.inference_mode()
        def bare(batches: list[torch.Tensor]) -> float:
            def passes() -> None:
                for inputs in batches:
                    for network in networks.values():
                        network(inputs)

            return len(records) / seconds(passes, device)

        def extraction(images: StoredImages) -> float:
            speed = Speed()
            options = {"batch_size": arguments.batch, "workers": arguments.workers, "speed": speed}
            extract_features(networks, images, spec, device=device, **options)
            waits.append(speed.waiting / speed.seconds)
            return speed.images / speed.seconds

        waits: list[float] = []
        small = [part for inputs in prepared for part in inputs.split(_SMALL)]
        runs = {
            "bare": lambda: bare(prepared),
            f"bare in {_SMALL}s": lambda: bare(small),
            "files": lambda: extraction(files),
            "cache": lambda: extraction(cached),
        }
        for run in runs.values():
            run()  # warm-up
        waits.clear()
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(arguments.repeats):
            for name, run in runs.items():
                rates[name].append(run())
    medians = {name: statistics.median(found) for name, found in rates.items()}
    print(f"{arguments.networks} x {arguments.network}, {size[0]} x {size[1]}, batch {arguments.batch}, "
          f"{len(records)} images")  # fmt: skip
    record = new_record("extraction", device) | {
        "networks": [arguments.network] * arguments.networks,
        "size": list(size),
        "batch": arguments.batch,
        "images": len(records),
        "repeats": arguments.repeats,
        "images_per_second": medians,
        "waiting": statistics.median(waits),
        "ratios": {},
    }
    for alone in ("bare", f"bare in {_SMALL}s"):
        print(f"{alone} {medians[alone]:,.0f} images/s")
        for name in ("files", "cache"):
            ratios = [ours / theirs for ours, theirs in zip(rates[name], rates[alone], strict=True)]
            record["ratios"][f"{name} / {alone}"] = statistics.median(ratios)
            print(f"  extraction from {name} {medians[name]:,.0f} images/s, ratio {statistics.median(ratios):.2f} "
                  f"(median of {len(ratios)}, {min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip
    print(f"share of the time waiting for images {record['waiting']:.1%}")
    keep_record(arguments.json, record)


if __name__ == "__main__":
    run_command(main)
