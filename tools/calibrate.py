"""Are these two the same person? Find the threshold for a wanted false-accept rate on labelled features.

    python tools/calibrate.py --features labelled.npz [--false-accept-rate 0.001] [--json threshold.json]
    python tools/calibrate.py --features query.npz --gallery gallery.npz

With one file all its pairs are judged, with two the pairs of a query and a gallery image. Pairs of one person in one
camera are left out, as in evaluation. The threshold holds for features of the same networks only.
"""

from __future__ import annotations

import argparse

from reid_dml.errors import UserError, run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", required=True, metavar="FILE", help="feature file with person and camera ids")
    parser.add_argument("--gallery", metavar="FILE", help="second feature file, to judge pairs between the two")
    parser.add_argument(
        "--false-accept-rate",
        type=float,
        default=1e-3,
        metavar="R",
        help="wanted share of accepted pairs among those of different persons (default: 0.001)",
    )
    parser.add_argument("--confidence", type=float, default=0.95, metavar="C", help="of the intervals (default: 0.95)")
    parser.add_argument("--metric", choices=("cosine", "euclidean"), default="cosine", help="default: cosine")
    parser.add_argument("--json", metavar="FILE", help="write the result to this file")
    arguments = parser.parse_args()
    for option in ("false_accept_rate", "confidence"):
        if not 0 < getattr(arguments, option) < 1:
            raise UserError(f"--{option.replace('_', '-')} {getattr(arguments, option)}: must lie between 0 and 1")

    from reid_dml.features.formats import read_features
    from reid_dml.files import check_output, write_json
    from reid_dml.ranking.calibration import calibrate
    from reid_dml.search.build import check_comparable

    if arguments.json:
        check_output(arguments.json, arguments.features, arguments.gallery)
    features = read_features(arguments.features)
    gallery = read_features(arguments.gallery) if arguments.gallery else None
    if gallery is not None:
        check_comparable(arguments.gallery, gallery, arguments.features, features.features.shape[1], features.model)
    found = calibrate(
        features,
        gallery,
        false_accept_rate=arguments.false_accept_rate,
        metric=arguments.metric,
        confidence=arguments.confidence,
    )
    if arguments.json:
        write_json(arguments.json, found.as_dict())
    what = "similarity of at least" if found.metric == "cosine" else "distance of at most"
    pairs = f"{found.different_pairs:,} pairs of different persons, {found.same_pairs:,} of the same"
    print(f"{pairs}, {found.persons:,} persons")
    print(f"same person at a {what} {found.threshold:.4f} ({_interval(found.threshold_interval, 1, 4)})")
    for name, rate, interval in (
        ("false", found.false_accept_rate, found.false_accept_rate_interval),
        ("true", found.true_accept_rate, found.true_accept_rate_interval),
    ):
        print(f"{name}-accept rate {100 * rate:.4g} % ({_interval(interval, 100, 3)} %)")
    print(f"intervals: {100 * found.confidence:g} % confidence, {found.method}")


def _interval(ends: tuple[float, float], scale: float, digits: int) -> str:
    return " to ".join(f"{scale * end:.{digits}g}" for end in ends)


if __name__ == "__main__":
    run_command(main)
