"""Features of very many images on a Ray cluster: an alternative to torchrun where one is there already.

    python examples/ray_features.py --run runs/market --images list.csv --output parts --workers 4 [--gpus 1]

Ray Data deals parts of the list out to workers, each of which has loaded the networks, and starts lost ones again. A
part becomes a Parquet file; a second start with the same list computes those that are missing. All machines see the
images, the run and the output under the same paths. Afterwards: `reid-dml index --features parts/*.parquet ...`.
"""

from __future__ import annotations

import argparse
import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

from reid_dml import FeatureExtractor
from reid_dml.data.image_paths import image_records
from reid_dml.data.records import ImageRecord
from reid_dml.ending import run_command
from reid_dml.errors import UserError
from reid_dml.features.formats import write_features

_KNOWN = ("path", "person_id", "camera_id", "time", "person", "camera")  # of an image
_BATCH = 4096  # images of a file


class Extractor:
    """The networks in one worker; called with a part of the list, it writes the features.

    Args:
        run: of the networks.
        output: folder of the files.
        folder: that paths of images are relative to.
        threads: of this worker.
    """

    def __init__(self, run: str, output: str, folder: str, threads: int) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        os.chdir(folder)
        self.extract, self.output = FeatureExtractor.from_run(run), Path(output)

    def __call__(self, part: dict[str, Any]) -> dict[str, Any]:
        file = self.output / part["file"]
        if not file.exists():
            rows = zip(*(part[name] for name in _KNOWN), strict=True)
            records = [ImageRecord(**dict(zip(_KNOWN, row, strict=True))) for row in rows]
            write_features(self.extract.extract(records, title=""), file)  # whole, or not there
        return {"images": len(part["path"])}


def extract(run: str, images: list[str], output: str, *, workers: int = 1, gpus: float = 0, batch: int = _BATCH) -> int:
    """Write the features of all images; how many there are.

    Args:
        run: folder of the networks.
        images: folders and tables of images.
        output: folder of the files.
        workers: at a time, over the whole cluster.
        gpus: of each worker; 0 for CPUs alone.
        batch: images of a file.
    """
    import ray
    from ray.data import ActorPoolStrategy

    records = image_records(images)
    Path(output).mkdir(parents=True, exist_ok=True)
    ray.init(ignore_reinit_error=True)
    processors = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    threads = max(1, min(sum(processors) // workers, min(filter(None, processors), default=1)))  # a worker fits a node
    model = FeatureExtractor.from_run(run).model
    parts = []
    for first in range(0, len(records), batch):
        part = {name: [getattr(record, name) for record in records[first : first + batch]] for name in _KNOWN}
        digest = sha256(json.dumps([model, part]).encode()).hexdigest()[:16]  # other images or networks: another file
        parts.append({"file": f"part_{first // batch:06d}_{digest}.parquet", **part})
    there = {file.name for file in Path(output).glob("part_*.parquet")}
    if strange := sorted(there - {part["file"] for part in parts}):
        raise UserError(f"{output}: holds parts of other images or networks, such as {strange[0]}; name a new folder")
    done = ray.data.from_items(parts).map(
        Extractor,
        fn_constructor_kwargs={
            "run": os.path.abspath(run),
            "output": os.path.abspath(output),
            "folder": os.getcwd(),
            "threads": threads,
        },
        compute=ActorPoolStrategy(size=workers),
        num_cpus=0 if gpus else threads,
        num_gpus=gpus,
    )
    return sum(row["images"] for row in done.iter_rows())


def main() -> None:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, metavar="RUN", help="run or model folder of the networks")
    parser.add_argument("--images", required=True, nargs="+", metavar="PATH", help="folders or tables of images")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the files")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="over the cluster (default: 1)")
    parser.add_argument("--gpus", type=float, default=0, metavar="G", help="of each worker (default: 0)")
    parser.add_argument("--batch", type=int, default=_BATCH, metavar="N", help=f"images a file (default: {_BATCH})")
    arguments = parser.parse_args()
    if arguments.workers < 1 or arguments.batch < 1:
        raise UserError("--workers and --batch must be at least 1")
    given = {"workers": arguments.workers, "gpus": arguments.gpus, "batch": arguments.batch}
    count = extract(arguments.run, arguments.images, arguments.output, **given)
    print(f"{arguments.output}: features of {count:,} images")


if __name__ == "__main__":
    run_command(main)
