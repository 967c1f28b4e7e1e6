"""Score feature files: CMC, mAP and mINP of ranking a gallery for every query.

python tools/score_features.py --query q.npz --gallery g.npz [--multi-query m.npz] [--json out.json]
"""

from __future__ import annotations

import argparse
import os

from reid_dml.errors import run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--query", required=True, metavar="FILE", help="feature file of the queries")
    parser.add_argument("--gallery", required=True, metavar="FILE", help="feature file of the gallery")
    parser.add_argument(
        "--multi-query", metavar="FILE", help="feature file of further images of the query persons (gt_bbox)"
    )
    parser.add_argument(
        "--pooling", choices=("mean", "max"), default="mean", help="how multi-query pools (default: mean)"
    )
    parser.add_argument("--metric", choices=("cosine", "euclidean"), default="cosine", help="default: cosine")
    parser.add_argument("--json", metavar="FILE", help="write the metrics to this file")
    arguments = parser.parse_args()

    if int(os.environ.get("RANK", "0")) > 0:
        return  # under torchrun the first process scores for all
    from reid_dml.files import check_output, write_json
    from reid_dml.retrieval.scoring import score_files
    from reid_dml.retrieval.tables import RETRIEVAL
    from reid_dml.tables import format_table, without_empty_columns

    if arguments.json:
        check_output(arguments.json, arguments.query, arguments.gallery, arguments.multi_query)
    metrics = score_files(
        arguments.query, arguments.gallery, arguments.multi_query, pooling=arguments.pooling, metric=arguments.metric
    )
    if arguments.json:
        write_json(arguments.json, metrics)
    table = {"networks": [metrics]}
    print(format_table(without_empty_columns(RETRIEVAL.rows(table, [f"{arguments.metric} distance"]))))
    for line in RETRIEVAL.notes(table):
        print(line)


if __name__ == "__main__":
    run_command(main)
