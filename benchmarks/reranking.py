"""What k-reciprocal re-ranking costs: seconds and memory, beside the dense code that toolkits use.

    python benchmarks/reranking.py                       Market-1501 size: 3,368 queries, 15,913 gallery images, 512-d
    python benchmarks/reranking.py --queries 11659 --gallery 82161 --dense 0            MSMT17 size
    python benchmarks/reranking.py --features query.npz gallery.npz                     real features, not drawn ones

The dense reference is Zhong et al.'s public NumPy algorithm in float32. It needs several (N, N) matrices, so it is
timed on the first images only (`--dense`), where ours is timed too.
"""

from __future__ import annotations

from evaluation import draw
from measuring import keep_record, memory_above, new_parser, new_record, positive, seconds

from reid_dml.ending import run_command


def main() -> None:
    parser = new_parser(__doc__, repeats=None)
    parser.add_argument("--queries", type=positive, default=3368, metavar="N", help="default: 3368")
    parser.add_argument("--gallery", type=positive, default=15913, metavar="N", help="default: 15913")
    parser.add_argument("--persons", type=positive, default=750, metavar="N", help="default: 750")
    parser.add_argument("--features", nargs=2, metavar="FILE", help="feature files of real queries and gallery")
    parser.add_argument(
        "--dense", type=int, default=4000, metavar="N", help="images of the dense reference, 0 for none (default: 4000)"
    )
    arguments = parser.parse_args()

    import numpy as np
    from dense_reranking import dense

    from reid_dml.features.feature_set import normalize
    from reid_dml.features.formats import read_features
    from reid_dml.ranking.rerank import k_reciprocal_distances
    from reid_dml.ranking.scoring import without_junk

    if arguments.features:
        sides = [read_features(path) for path in arguments.features]
    else:
        sides = list(draw(arguments.queries, arguments.gallery, arguments.persons))
    query, gallery = normalize(sides[0].features), normalize(without_junk(sides[1]).features)
    memory = memory_above(lambda: k_reciprocal_distances(query, gallery))  # also the warm-up
    record = new_record("reranking", "cpu") | {
        "features": "real" if arguments.features else "drawn",
        "queries": len(query),
        "gallery": len(gallery),
        "width": query.shape[1],
        "seconds": seconds(lambda: k_reciprocal_distances(query, gallery)),
        "memory_gb": memory,
    }
    print(
        f"{len(query):,} queries, {len(gallery):,} gallery images, {query.shape[1]}-d, on {record['device']}: "
        f"{record['seconds']:.1f} s, {memory:.2f} GB above the features"
    )
    if arguments.dense:
        few = arguments.dense // 6
        some, others = query[:few], gallery[: arguments.dense - few]
        reference, own = np.empty(0), np.empty(0)

        def run_dense() -> None:
            nonlocal reference
            reference = dense(some, others)

        def run_own() -> None:
            nonlocal own
            own = k_reciprocal_distances(some, others)

        times = {"images": len(some) + len(others), "dense_seconds": seconds(run_dense), "seconds": seconds(run_own)}
        times["largest_difference"] = float(np.abs(reference - own).max())
        record["reference"] = times
        print(
            f"first {times['images']:,} images: dense {times['dense_seconds']:.1f} s, ours {times['seconds']:.2f} s "
            f"({times['dense_seconds'] / times['seconds']:.0f} x), largest difference {times['largest_difference']:.1e}"
        )
    keep_record(arguments.json, record)


if __name__ == "__main__":
    run_command(main)
