"""What exact ranking metrics cost: time against the bare product of the features, memory above the features.

    python benchmarks/evaluation.py                      Market-1501, MSMT17 and Market-1501+500k sizes, 512-d
    python benchmarks/evaluation.py --sizes market --repeats 5 --json results/benchmarks/evaluation_cpu.json

"Bare" is the float32 matrix product of the same shapes, blocked into one reused buffer, with the same threads; it is
timed alternately with the metrics, with a rest before each. The sort-based reference (what toolkits do: order the whole
gallery of every query) is timed on the first queries only and scaled up. Features are drawn around person centres; no
data set is needed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from measuring import keep_record, memory_above, new_parser, new_record, seconds

from reid_dml.ending import run_command

SIZES = {"market": (3368, 15913, 750), "msmt17": (11659, 82161, 3060), "market500k": (3368, 515913, 750)}
_WIDTH, _REFERENCE_QUERIES = 512, 100
# OpenBLAS's threads spin for some 30 ms behind a product, and would take a core from what is timed next.
_REST = 0.1


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="default: all")
    parser.add_argument("--backend", choices=("counting", "faiss"), default="counting", help="default: counting")
    arguments = parser.parse_args()

    record = new_record("evaluation", "cpu") | {
        "backend": arguments.backend,
        "repeats": arguments.repeats,
        "sizes": {},
    }
    print(f"{arguments.backend} on {record['device']}, medians of {arguments.repeats}")
    print(f"{'size':12}{'metrics':>10}{'bare product':>14}{'ratio':>8}{'memory above':>14}{'sorting':>11}")
    for size in arguments.sizes:
        found = measure(size, arguments.repeats, arguments.backend)
        record["sizes"][size] = found
        print(
            f"{size:12}{found['seconds']:8.2f} s{found['bare_seconds']:12.2f} s{found['ratio']:8.2f}"
            f"{found['memory_gb']:11.2f} GB{found['sorting_seconds']:9.0f} s"
        )
    keep_record(arguments.json, record)


def measure(size: str, repeats: int, backend: str) -> dict:
    """Medians for one size: seconds of the metrics and of the bare product, their ratio, and memory in GB."""
    import numpy as np

    from reid_dml.ranking.metrics import evaluate_rankings

    query, gallery = draw(*SIZES[size])
    rows = 512 if len(gallery.features) < 200_000 else 128
    buffer = np.empty((rows, len(gallery.features)), np.float32)

    def bare() -> None:
        for start in range(0, len(query.features), rows):
            part = query.features[start : start + rows]
            np.matmul(part, gallery.features.T, out=buffer[: len(part)])

    def metrics() -> None:
        evaluate_rankings(query, gallery, backend=backend)

    bare()
    memory = memory_above(metrics)  # also the warm-up
    pairs = [(rested(metrics), rested(bare)) for _ in range(repeats)]
    return {
        "queries": len(query),
        "gallery": len(gallery),
        "width": _WIDTH,
        "seconds": statistics.median(own for own, _ in pairs),
        "bare_seconds": statistics.median(alone for _, alone in pairs),
        "ratio": statistics.median(own / alone for own, alone in pairs),
        "memory_gb": memory,
        "sorting_seconds": sorting_seconds(query, gallery),
        "mAP": evaluate_rankings(query, gallery, backend=backend).mAP,
    }


def rested(run: Callable[[], object]) -> float:
    """Seconds of a call when no thread of an earlier one computes or spins any more."""
    time.sleep(_REST)
    return seconds(run)


def draw(queries: int, items: int, persons: int):
    """Query and gallery features around person centres: 15.5 matches a query on the average, the rest distractors."""
    import numpy as np

    from reid_dml.features import FeatureSet

    rng = np.random.default_rng(0)
    centres = rng.standard_normal((persons + 1, _WIDTH), dtype=np.float32)

    def side(count: int, ids, camera: int) -> FeatureSet:
        features = rng.standard_normal((count, _WIDTH), dtype=np.float32)
        features *= 2.5
        for start in range(0, count, 8192):
            features[start : start + 8192] += centres[ids[start : start + 8192]]
        return FeatureSet(features, ids, np.full(count, camera), np.full(count, "", dtype=np.str_))

    known = 27 * persons if persons > 1000 else min(items, int(15.5 * persons) + 1)
    ids = np.zeros(items, np.int64)
    ids[rng.permutation(items)[: min(known, items)]] = rng.integers(1, persons + 1, min(known, items))
    return side(queries, rng.integers(1, persons + 1, queries), 1), side(items, ids, 2)


def sorting_seconds(query, gallery) -> float:
    """Seconds that ordering the gallery of every query would take, from the first queries."""
    import numpy as np

    some = query.features[:_REFERENCE_QUERIES]

    def reference() -> None:
        order = np.argsort(-(some @ gallery.features.T), axis=1)
        (gallery.person_ids[order] == query.person_ids[: len(some), None]).cumsum(1)

    return seconds(reference) * len(query) / len(some)


if __name__ == "__main__":
    run_command(main)
