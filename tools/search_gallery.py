"""Search an index of tools/build_index.py for the images nearest to one image, to those of a folder, or to features.

    python tools/search_gallery.py --index market.index --query photo.jpg --run runs/quickstart
    python tools/search_gallery.py --index market.index --query DIR --config-file FILE MODEL.WEIGHTS path
    python tools/search_gallery.py --index market.index --query query.npz [--json found.json] [--picture found.png]

The features must come from the networks the index was built with.
"""

from __future__ import annotations

import argparse

from reid_dml.errors import UserError, run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", required=True, metavar="DIR", help="folder of the index")
    parser.add_argument("--query", required=True, metavar="PATH", help="an image, a folder of images or a feature file")
    parser.add_argument("--k", type=int, default=10, metavar="N", help="images to find for a query (default: 10)")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help="only images at least this similar (Euclidean: at most this far), see tools/calibrate.py",
    )
    parser.add_argument("--show", type=int, default=5, metavar="N", help="queries to print and draw (default: 5)")
    parser.add_argument("--json", metavar="FILE", help="write all that was found to this file")
    parser.add_argument("--picture", metavar="FILE", help="draw the ranked lists (.png, .jpg, .pdf or .svg)")
    parser.add_argument(
        "--search-parameters", default="", metavar="NAME=N", help="e.g. nprobe=64; more care, more time"
    )
    parser.add_argument("--run", metavar="DIR", help="run folder of the networks, for images")
    parser.add_argument("--config-file", metavar="FILE", help="config of the networks, for images")
    parser.add_argument(
        "--network", default="ensemble", metavar="K", help="index of one network; default: the ensemble"
    )
    parser.add_argument("options", nargs="*", metavar="KEY VALUE", help="options that override --config-file")
    arguments = parser.parse_intermixed_args()
    if arguments.show < 1:
        raise UserError(f"--show {arguments.show}: show at least one query")

    from reid_dml.analysis.ranking_picture import check_picture, draw_answers
    from reid_dml.features.formats import read_features
    from reid_dml.files import check_output, write_json
    from reid_dml.reporting.tables import format_table
    from reid_dml.search.answers import answer_rows, as_json, camera_name, find, person_name
    from reid_dml.search.gallery import Gallery

    for output in (arguments.json, arguments.picture):
        if output:
            check_output(output, arguments.query)
    if arguments.picture:
        check_picture(arguments.picture)
    gallery = Gallery.open(arguments.index, parameters=arguments.search_parameters)
    if arguments.query.endswith((".npz", ".parquet", ".mat")):
        query = read_features(arguments.query)
    else:
        from reid_dml.commands.extract import open_extractor
        from reid_dml.data.image_paths import image_records
        from reid_dml.search.build import check_model

        records = image_records([arguments.query])
        extractor = open_extractor(arguments.run, arguments.config_file, arguments.options, arguments.network)
        check_model("query", extractor.model, arguments.index, gallery.spec.model)  # before the work
        query = extractor.extract(records, "queries")
    answers = find(gallery, query, arguments.k, threshold=arguments.threshold)
    if arguments.json:
        write_json(arguments.json, as_json(gallery, answers))
    score = "similarity" if gallery.spec.metric == "cosine" else "distance"
    shown = answers[: arguments.show]
    for answer in shown:
        print(f"{answer.query.path} (person {person_name(answer.query)}, camera {camera_name(answer.query)})")
        print(
            format_table(answer_rows(answer, score)) if answer.images else "no image within the threshold", end="\n\n"
        )
    if len(shown) < len(answers):
        print(f"{len(answers) - len(shown):,} more queries; print more with --show, or write all with --json")
    if arguments.picture:
        draw_answers(shown, arguments.picture)
        print(arguments.picture)


if __name__ == "__main__":
    run_command(main)
