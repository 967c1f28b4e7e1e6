"""What approximate indexes cost and save: recall against exact search, time and size of every type.

    python benchmarks/index_types.py --name market1501 --gallery g.npz --query q.npz
    python benchmarks/index_types.py --name synthetic --vectors 1000000 [--dimension 128] [--queries 1000]

recall@1 is the share of queries whose nearest image is the index's first answer; recall@10 the share of the ten nearest
images among its first ten. Search times are medians of 3 over all queries in one call. Writes
results/benchmarks/index_types_<name>.json, from which `make results` draws the table in docs/search.md.

Synthetic vectors: clusters of 25 on the unit sphere around random centres, the queries drawn like them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import new_record, positive

from reid_dml.ending import run_command
from reid_dml.errors import UserError

TYPES = ("Flat", "SQfp16", "HNSW32", "IVF256,Flat", "IVF256,SQfp16", "IVF256,PQ32", "OPQ32,IVF256,PQ32", "PQ32")
_CLUSTER = 25  # vectors around a centre
_SPREAD = 0.6  # of a vector around its centre, the centre's length being 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="of the record")
    parser.add_argument("--gallery", metavar="FILE", help="feature file of the gallery")
    parser.add_argument("--query", metavar="FILE", help="feature file of the queries")
    parser.add_argument("--vectors", type=positive, default=1_000_000, metavar="N", help="synthetic (default: 1000000)")
    parser.add_argument("--dimension", type=positive, default=128, metavar="D", help="synthetic (default: 128)")
    parser.add_argument("--queries", type=positive, default=1000, metavar="N", help="synthetic (default: 1000)")
    parser.add_argument("--types", nargs="+", default=list(TYPES), metavar="TYPE", help=f"default: {' '.join(TYPES)}")
    parser.add_argument("--output", default="results/benchmarks", metavar="DIR", help="default: results/benchmarks")
    arguments = parser.parse_args()
    if bool(arguments.gallery) != bool(arguments.query):
        raise UserError("give --gallery and --query, or neither for synthetic vectors")

    import faiss

    from reid_dml.features.formats import read_features
    from reid_dml.files import write_json
    from reid_dml.search.index_types import prepare

    if arguments.gallery:
        gallery, query = (prepare(read_features(path), "cosine", path) for path in (arguments.gallery, arguments.query))
        data = {"what": "features"}
    else:
        gallery, query = synthetic(arguments.vectors, arguments.queries, arguments.dimension)
        data = {"what": f"synthetic, clusters of {_CLUSTER}"}
    rows: list[dict[str, Any]] = []
    exact = None
    for factory in dict.fromkeys(["Flat", *arguments.types]):
        row, found = measure(factory, gallery, query)
        exact = found if exact is None else exact
        rows.append({**row, **{f"recall_at_{k}": recall(found, exact, k) for k in (1, 10)}})
        print(", ".join(f"{name} {value:.4g}" if isinstance(value, float) else str(value)
                        for name, value in rows[-1].items()), flush=True)  # fmt: skip
    record = new_record("index_types", "cpu") | {
        "name": arguments.name,
        **data,
        "vectors": len(gallery),
        "queries": len(query),
        "dimension": gallery.shape[1],
        "threads": faiss.omp_get_max_threads(),
        "types": rows,
    }
    path = Path(arguments.output) / f"index_types_{arguments.name}.json"
    write_json(path, record)
    print(path)


def synthetic(count: int, queries: int, dimension: int):
    """Unit vectors (count, dimension) and (queries, dimension) float32 in clusters of random centres."""
    import numpy as np

    from reid_dml.features.feature_set import normalize

    rng = np.random.default_rng(0)
    centres = normalize(rng.standard_normal((max(1, count // _CLUSTER), dimension), dtype=np.float32))

    def draw(number: int):
        noise = rng.standard_normal((number, dimension), dtype=np.float32) * np.float32(_SPREAD / dimension**0.5)
        return normalize(centres[rng.integers(0, len(centres), number)] + noise)

    return draw(count), draw(queries)


def measure(factory: str, gallery, query):
    """Build and search one type with its default parameters: its row of the record, and the ten found of each query."""
    import numpy as np

    from reid_dml.search.index_folder import write_index
    from reid_dml.search.index_types import (
        default_parameters,
        make_index,
        set_parameters,
        train_index,
        training_size,
    )

    started = time.perf_counter()
    index = make_index(factory, gallery.shape[1], "cosine")
    if wanted := min(training_size(index), len(gallery)):
        chosen = np.sort(np.random.default_rng(0).choice(len(gallery), wanted, replace=False))
        train_index(index, factory, gallery[chosen])
    trained = time.perf_counter()
    for start in range(0, len(gallery), 8192):
        batch = gallery[start : start + 8192]
        index.add_with_ids(batch, start + np.arange(len(batch)))
    filled = time.perf_counter()
    parameters = default_parameters(index)
    set_parameters(index, parameters)
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        _, found = index.search(query, 10)
        seconds.append(time.perf_counter() - begun)
    with tempfile.TemporaryDirectory() as folder:
        write_index(index, Path(folder) / "index.faiss")
        size = (Path(folder) / "index.faiss").stat().st_size
    row = {
        "type": factory,
        "parameters": parameters,
        "training_seconds": trained - started,
        "filling_seconds": filled - trained,
        "search_milliseconds_per_query": 1000 * statistics.median(seconds) / len(query),
        "bytes": size,
    }
    return row, found


def recall(found, exact, k: int) -> float:
    """Share of the exact k nearest among the first k found."""
    import numpy as np

    hits = (found[:, :k, None] == exact[:, None, :k]).any(2)
    return float(np.mean(hits))


if __name__ == "__main__":
    run_command(main)
